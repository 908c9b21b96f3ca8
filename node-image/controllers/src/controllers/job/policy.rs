//! What a Job's policies say: which failed pods fail the Job or their index, or do not count; and
//! which indexes are enough for success.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, SuccessPolicy,
};

use super::indexes::Indexes;
use super::pod::{ContainerEnd, JobPod};

/// What the failure of one pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It counts towards the limit.
    Counts,
    /// It does not count.
    Ignored,
    /// Its index has failed.
    FailsIndex,
    /// The Job has failed, with this message.
    FailsJob(String),
}

/// The rule of a failure policy that matches first decides.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &JobPod) -> Failure {
    for (place, rule) in policy.into_iter().flat_map(|policy| &policy.rules).enumerate() {
        let cause = match &rule.on_exit_codes {
            Some(codes) => exit_code(codes, pod).map(|(container, code)| {
                let metadata = &pod.state.object.metadata;
                format!(
                    "Container {container} for pod {}/{} failed with exit code {code}",
                    metadata.namespace, metadata.name
                )
            }),
            None => {
                let patterns = rule.on_pod_conditions.iter().flatten();
                let found = patterns.flat_map(|pattern| {
                    let status = pattern.status.as_deref().unwrap_or("True");
                    let same = move |c: &&crate::pods::ConditionHead| {
                        c.name == pattern.type_ && c.status == status
                    };
                    pod.conditions.iter().find(same)
                });
                let metadata = &pod.state.object.metadata;
                found.into_iter().next().map(|condition| {
                    let name = &condition.name;
                    format!("Pod {}/{} has condition {name}", metadata.namespace, metadata.name)
                })
            }
        };
        let Some(cause) = cause else { continue };
        return match rule.action.as_str() {
            "Ignore" => Failure::Ignored,
            "FailIndex" => Failure::FailsIndex,
            "FailJob" => {
                Failure::FailsJob(format!("{cause} matching FailJob rule at index {place}"))
            }
            _ => Failure::Counts,
        };
    }
    Failure::Counts
}

/// The first container whose exit code meets a requirement; a success never does.
fn exit_code<'a>(
    wanted: &PodFailurePolicyOnExitCodesRequirement,
    pod: &'a JobPod,
) -> Option<(&'a str, i32)> {
    let named = |container: &&ContainerEnd| {
        wanted.container_name.as_ref().is_none_or(|name| *name == container.name)
    };
    let all = pod.containers.iter().chain(&pod.init_containers).filter(named);
    let ended = all.filter_map(|container| Some((container.name.as_str(), container.exit_code()?)));
    ended.filter(|(_, code)| *code != 0).find(|(_, code)| {
        let listed = wanted.values.contains(code);
        if wanted.operator == "NotIn" { !listed } else { listed }
    })
}

/// The message of the success policy's first rule that these indexes meet.
pub(super) fn success(
    policy: Option<&SuccessPolicy>,
    completions: usize,
    succeeded: &Indexes,
) -> Option<String> {
    let rules = policy.into_iter().flat_map(|policy| &policy.rules).enumerate();
    for (place, rule) in rules {
        let count = rule.succeeded_count.and_then(|count| usize::try_from(count).ok());
        let met = match (&rule.succeeded_indexes, count) {
            (None, None) => false,
            (None, Some(count)) => succeeded.total() >= count,
            (Some(text), count) => {
                let required = Indexes::parse(text, completions);
                required.shared_with(succeeded) >= count.unwrap_or(required.total())
            }
        };
        if met {
            return Some(format!("Matched rules at index {place}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kd_client::{Keep, Object, resources};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::at;

    fn pod(status: &Value) -> JobPod {
        let json = json!({"metadata": {"name": "p", "namespace": "a"}, "status": status});
        let bytes = serde_json::to_vec(&json).unwrap();
        let object = Object::parse(&resources::PODS, &bytes, Keep::Full, at(0)).unwrap();
        JobPod::of(&Arc::new(object))
    }

    #[test]
    fn failures() {
        let check = |rules: Value, status: Value, expect: Failure| {
            let policy = serde_json::from_value(json!({"rules": rules})).unwrap();
            assert_eq!(judge(Some(&policy), &pod(&status)), expect, "{rules}");
        };
        let codes = |operator: &str, container: Option<&str>| json!({"operator": operator, "values": [3, 5], "containerName": container});
        let rule = |action: &str, codes: Value| json!([{"action": action, "onExitCodes": codes}]);
        let ended = |code: i32| {
            json!({"containerStatuses": [{"name": "c", "restartCount": 0,
                "state": {"terminated": {"exitCode": code}}}]})
        };
        check(rule("Ignore", codes("In", None)), ended(3), Failure::Ignored);
        check(rule("Ignore", codes("In", None)), ended(4), Failure::Counts);
        check(rule("FailIndex", codes("NotIn", Some("c"))), ended(4), Failure::FailsIndex);
        check(rule("FailIndex", codes("NotIn", Some("d"))), ended(4), Failure::Counts);
        check(rule("FailIndex", codes("NotIn", None)), ended(0), Failure::Counts);
        let message =
            "Container c for pod a/p failed with exit code 5 matching FailJob rule at index 0";
        check(rule("FailJob", codes("In", None)), ended(5), Failure::FailsJob(message.into()));
        let disrupted = json!({"conditions": [{"type": "DisruptionTarget", "status": "True"}]});
        let rules =
            json!([{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]);
        check(rules.clone(), disrupted, Failure::Ignored);
        check(rules, json!({}), Failure::Counts);
    }

    #[test]
    fn successes() {
        let check = |rule: Value, succeeded: &str, expect: bool| {
            let policy = serde_json::from_value(json!({"rules": [rule]})).unwrap();
            let met = success(Some(&policy), 10, &Indexes::parse(succeeded, 10));
            assert_eq!(met.is_some(), expect, "{rule} {succeeded}");
        };
        check(json!({"succeededCount": 2}), "1,5", true);
        check(json!({"succeededCount": 3}), "1,5", false);
        check(json!({"succeededIndexes": "0-2"}), "0,1,2,7", true);
        check(json!({"succeededIndexes": "0-2"}), "0,1,7", false);
        check(json!({"succeededIndexes": "0-2", "succeededCount": 1}), "2", true);
        check(json!({"succeededIndexes": "0-2", "succeededCount": 1}), "3", false);
        assert_eq!(success(None, 10, &Indexes::parse("0-9", 10)), None);
    }
}
