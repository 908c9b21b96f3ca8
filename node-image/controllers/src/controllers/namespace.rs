//! Deletes what is in a terminating namespace, pods first, then lets the namespace go.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kd_client::{Change, Interest, Key, Resource, View, resources};

use crate::controller::{Failure, itself, shared};
use crate::{Action, Controller, Guard, Plan, Step, Target};

const FINALIZER: &str = "kubernetes";
const CONTENT_FAILURE: &str = "NamespaceDeletionContentFailure";

/// Whether a namespace exists and takes new objects.
pub(super) fn is_active(view: &View, name: &str) -> bool {
    let key = Key::cluster(name);
    let Some(object) = view.object(&resources::NAMESPACES, &key) else { return false };
    let terminating = || {
        let namespace: Option<Namespace> = object.decode();
        namespace.and_then(|n| n.status?.phase).is_some_and(|phase| phase == "Terminating")
    };
    !object.metadata.is_deleting() && !terminating()
}

/// The namespace that a change of it, or of an object of a fixed name in it, concerns.
pub(super) fn namespace_of(change: &Change, fixed_name: &str) -> Vec<Target> {
    if let Some(target) = itself(&resources::NAMESPACES, change) {
        return vec![target];
    }
    let Some(object) = change.object().filter(|o| o.metadata.name == fixed_name) else {
        return Vec::new();
    };
    let key = Key::cluster(&object.metadata.namespace);
    vec![Target::new(&shared(&resources::NAMESPACES), key)]
}

pub(super) struct NamespaceController;

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NAMESPACES), Interest::full(&resources::API_SERVICES)]
    }

    fn reads_everything(&self) -> bool {
        true
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        if let Some(target) = itself(&resources::NAMESPACES, change) {
            return vec![target];
        }
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(&resources::API_SERVICES) {
            let all = view.objects(&resources::NAMESPACES, None);
            let going = all.filter(|namespace| namespace.metadata.is_deleting());
            return going.map(|n| Target::of(&shared(&resources::NAMESPACES), n)).collect();
        }
        let key = Key::cluster(&object.metadata.namespace);
        let namespace = view.object(&resources::NAMESPACES, &key);
        let terminating = namespace.is_some_and(|n| n.metadata.is_deleting());
        let target = || Target::new(&shared(&resources::NAMESPACES), key.clone());
        terminating.then(target).into_iter().collect()
    }

    /// A resource whose objects cannot be deleted is told in the namespace's conditions.
    fn failed(&self, view: &View, target: &Target, now: Timestamp, failure: &Failure) -> Plan {
        let name = &*target.key.name;
        let Some(namespace) = view.get::<Namespace>("", name) else { return Plan::nothing() };
        if failure.resource.same(&resources::NAMESPACES) {
            return Plan::nothing();
        }
        let content: Vec<Content<'_>> =
            namespaced(view).map(|r| Content::of(view, r, name)).collect();
        let mut sentences = sentences(&content, &undiscovered(view));
        let message =
            format!("Failed to delete all resource types, 1 remaining: {}", failure.message);
        for sentence in &mut sentences {
            if sentence.0 == CONTENT_FAILURE {
                *sentence = (CONTENT_FAILURE, true, "ContentDeletionFailed", message.clone());
            }
        }
        report(&namespace, sentences, now).map_or_else(Plan::nothing, Plan::one)
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let name = &*target.key.name;
        let Some(namespace) = view.get::<Namespace>("", name) else { return Plan::nothing() };
        if namespace.metadata.deletion_timestamp.is_none() || !is_ours(&namespace) {
            return Plan::nothing();
        }
        let content: Vec<Content<'_>> =
            namespaced(view).map(|r| Content::of(view, r, name)).collect();
        let pods_remain = content.iter().any(|c| c.count > 0 && c.resource.same(&resources::PODS));
        let due = |c: &&Content<'_>| !pods_remain || c.resource.same(&resources::PODS);
        let mut plan =
            Plan::together(content.iter().filter(due).filter_map(Content::delete).collect());
        let missing = undiscovered(view);
        if content.iter().any(|c| c.count > 0) || !missing.is_empty() {
            let sentences = sentences(&content, &missing);
            plan.stages.extend(report(&namespace, sentences, now).map(|step| vec![step]));
        } else if plan.is_empty() {
            // Events are not watched: nothing hangs on them.
            plan.then(vec![Step::delete_collection(&resources::EVENTS, name)]);
            plan.then(vec![finalize(view, namespace)]);
        }
        plan
    }
}

fn is_ours(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|all| all.iter().any(|f| f == FINALIZER))
}

fn namespaced(view: &View) -> impl Iterator<Item = &Arc<Resource>> {
    view.resources().filter(|r| r.namespaced)
}

/// What of one resource is left.
struct Content<'a> {
    resource: &'a Resource,
    namespace: &'a str,
    count: usize,
    undeleted: usize,
    finalizers: BTreeMap<String, usize>,
}

impl<'a> Content<'a> {
    fn of(view: &View, resource: &'a Resource, namespace: &'a str) -> Content<'a> {
        let mut content =
            Content { resource, namespace, count: 0, undeleted: 0, finalizers: BTreeMap::new() };
        for object in view.objects(resource, Some(namespace)) {
            content.count += 1;
            content.undeleted += usize::from(!object.metadata.is_deleting());
            for finalizer in &object.metadata.finalizers {
                *content.finalizers.entry(finalizer.clone()).or_insert(0) += 1;
            }
        }
        content
    }

    fn delete(&self) -> Option<Step> {
        (self.undeleted > 0).then(|| Step::delete_collection(self.resource, self.namespace))
    }
}

/// Lets the namespace go, if the store agrees that nothing is left.
fn finalize(view: &View, mut namespace: Namespace) -> Step {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    if let Some(finalizers) = namespace.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
        finalizers.retain(|f| f != FINALIZER);
    }
    let mut step = Step::update(&resources::NAMESPACES, Key::cluster(&name), &namespace);
    if let Action::Update(subresource, _) = &mut step.action {
        *subresource = "finalize";
    }
    for resource in namespaced(view) {
        let resource = Resource::clone(resource);
        step = step.guarded(Guard::Empty { resource, namespace: name.clone() });
    }
    step
}

/// Versions of groups whose servers do not answer: what they have of a namespace is not known.
fn undiscovered(view: &View) -> Vec<String> {
    let services: Vec<APIService> = view.list(None);
    let silent = services.into_iter().filter(|service| {
        let conditions =
            service.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Available" && c.status == "False")
    });
    let versions = silent.filter_map(|service| {
        let spec = service.spec?;
        Some(format!("{}/{}", spec.group?, spec.version?))
    });
    versions.collect()
}

/// A condition: its name, whether it holds, and why.
type Sentence = (&'static str, bool, &'static str, String);

/// The conditions that say what the deletion waits for.
fn report(namespace: &Namespace, sentences: Vec<Sentence>, now: Timestamp) -> Option<Step> {
    let mut updated = namespace.clone();
    let status = updated.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    for (name, holds, reason, message) in sentences {
        set_condition(conditions, name, holds, reason, message, now);
    }
    let key = Key::cluster(namespace.metadata.name.as_deref()?);
    (updated != *namespace).then(|| Step::update_status(&resources::NAMESPACES, key, &updated))
}

fn sentences(content: &[Content<'_>], missing: &[String]) -> Vec<Sentence> {
    let counted = content.iter().filter(|c| c.count > 0);
    let remaining: Vec<String> = counted
        .map(|c| {
            format!("{}.{} has {} resource instances", c.resource.plural, c.resource.group, c.count)
        })
        .collect();
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for (finalizer, count) in content.iter().flat_map(|c| &c.finalizers) {
        *finalizers.entry(finalizer).or_insert(0) += count;
    }
    let finalizers: Vec<String> =
        finalizers.iter().map(|(f, count)| format!("{f} in {count} resource instances")).collect();
    let fine = |name, reason, message: &str| (name, false, reason, message.to_owned());
    vec![
        discovery(missing),
        fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        fine(
            CONTENT_FAILURE,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        match remaining.is_empty() {
            true => fine(
                "NamespaceContentRemaining",
                "ContentRemoved",
                "All content successfully removed",
            ),
            false => (
                "NamespaceContentRemaining",
                true,
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", remaining.join(", ")),
            ),
        },
        match finalizers.is_empty() {
            true => fine(
                "NamespaceFinalizersRemaining",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
            false => (
                "NamespaceFinalizersRemaining",
                true,
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    finalizers.join(", ")
                ),
            ),
        },
    ]
}

fn discovery(missing: &[String]) -> Sentence {
    let name = "NamespaceDeletionDiscoveryFailure";
    if missing.is_empty() {
        let message = "All resources successfully discovered";
        return (name, false, "ResourcesDiscovered", message.to_owned());
    }
    let stale: Vec<String> =
        missing.iter().map(|v| format!("{v}: stale GroupVersion discovery: {v}")).collect();
    let message = format!(
        "Discovery failed for some groups, {} failing: unable to retrieve the complete list of \
         server APIs: {}",
        missing.len(),
        stale.join(", ")
    );
    (name, true, "DiscoveryFailed", message)
}

fn set_condition(
    conditions: &mut Vec<NamespaceCondition>,
    name: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let status = if holds { "True" } else { "False" };
    let place = conditions.iter().position(|c| c.type_ == name);
    let since = match place.map(|i| &conditions[i]) {
        Some(known) if known.status == status => known.last_transition_time.clone(),
        _ => Some(Time(now)),
    };
    let condition = NamespaceCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since,
    };
    match place {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{body, lines, object, plan, time, view};

    fn check(objects: &[Value], expect: &[&str]) -> Plan {
        let deleting = json!({"metadata": {"deletionTimestamp": time(1)},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
        let mut all = vec![object("Namespace", "", "a", deleting)];
        all.extend_from_slice(objects);
        let plan = plan(&NamespaceController, &view(&all), &resources::NAMESPACES, ("", "a"), 2);
        assert_eq!(lines(&plan), expect);
        plan
    }

    #[test]
    fn pods_go_first() {
        let objects = [
            object("Pod", "a", "p", json!({})),
            object("Secret", "a", "s", json!({})),
            object("Pod", "b", "p", json!({})),
        ];
        let plan = check(&objects, &["delete-all pods a/", "--", "update namespaces/status a"]);
        let report = Plan { stages: plan.stages[1..].to_vec(), ..plan };
        let conditions = &body(&report, 0)["status"]["conditions"];
        assert_eq!(
            conditions[3]["message"],
            "Some resources are remaining: pods. has 1 resource instances, secrets. has 1 resource instances"
        );
    }

    #[test]
    fn what_is_deleted_already_is_waited_for() {
        let finalized = json!({"metadata": {"deletionTimestamp": time(1), "finalizers": ["x/y"]}});
        let plan = check(&[object("Secret", "a", "s", finalized)], &["update namespaces/status a"]);
        assert_eq!(
            body(&plan, 0)["status"]["conditions"][4]["message"],
            "Some content in the namespace has finalizers remaining: x/y in 1 resource instances"
        );
    }

    #[test]
    fn a_silent_server_is_waited_for() {
        let service = object(
            "APIService",
            "",
            "v1.x.y",
            json!({"spec": {"group": "x.y", "version": "v1"},
                "status": {"conditions": [{"type": "Available", "status": "False"}]}}),
        );
        let plan = check(&[service], &["update namespaces/status a"]);
        let condition = &body(&plan, 0)["status"]["conditions"][0];
        assert_eq!(condition["reason"], "DiscoveryFailed");
        assert_eq!(
            condition["message"],
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of \
             server APIs: x.y/v1: stale GroupVersion discovery: x.y/v1"
        );
    }

    #[test]
    fn what_cannot_be_deleted_is_told() {
        let deleting = json!({"metadata": {"deletionTimestamp": time(1)}});
        let objects =
            [object("Namespace", "", "a", deleting), object("Secret", "a", "s", json!({}))];
        let failure =
            Failure { resource: resources::SECRETS.clone(), create: false, message: "no".into() };
        let target = Target::new(&shared(&resources::NAMESPACES), Key::cluster("a"));
        let now = crate::testing::at(2);
        let plan = NamespaceController.failed(&view(&objects), &target, now, &failure);
        let condition = &body(&plan, 0)["status"]["conditions"][2];
        assert_eq!(condition["message"], "Failed to delete all resource types, 1 remaining: no");
    }

    #[test]
    fn an_empty_namespace_is_let_go() {
        let plan = check(&[], &["delete-all events a/", "--", "update namespaces/finalize a"]);
        let last = plan.steps().last().unwrap();
        assert!(last.guards.len() > 5);
    }
}
