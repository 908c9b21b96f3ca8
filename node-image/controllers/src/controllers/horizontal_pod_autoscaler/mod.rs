//! HorizontalPodAutoscaler: as many replicas as the metrics ask for. Every 15 seconds the scale and
//! the metrics are asked for; what was recommended and done lately is remembered between.

mod behavior;
mod metrics;
mod replicas;
mod status;

use jiff::{SignedDuration, Timestamp};
use kd_api::selector::Selector;
use kd_client::{Change, EventType, Interest, Key, Object, Resource, View, resources};
use serde_json::{Value, json};

use self::behavior::Memory;
use self::metrics::{Invalid, Proposal, paths_of};
use self::status::Conditions;
use crate::controller::{Answers, Ask, itself};
use crate::{Controller, Plan, Step, Target, event};

const INTERVAL: SignedDuration = SignedDuration::from_secs(15);

pub(super) struct HorizontalPodAutoscalers;

/// An autoscaler and its target at one moment.
struct Sync<'a> {
    view: &'a View,
    object: &'a Object,
    /// The autoscaler.
    json: &'a Value,
    answers: &'a Answers,
    now: Timestamp,
}

impl Controller for HorizontalPodAutoscalers {
    fn name(&self) -> &'static str {
        "horizontal-pod-autoscaler"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::HORIZONTAL_POD_AUTOSCALERS),
            Interest::full(&resources::PODS),
            Interest::metadata(&resources::API_SERVICES),
        ]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        itself(&resources::HORIZONTAL_POD_AUTOSCALERS, change).into_iter().collect()
    }

    fn ask(&self, view: &View, target: &Target, now: Timestamp, memory: &Value) -> Ask {
        let resource = &resources::HORIZONTAL_POD_AUTOSCALERS;
        let Some(object) = view.object(resource, &target.key) else { return Ask::Nothing };
        let Some(json) = object.decode::<Value>() else { return Ask::Nothing };
        let next = memory["next"].as_str().and_then(|text| text.parse().ok());
        let seen = memory["spec"] == json["spec"];
        if let Some(next) = next.filter(|next| seen && *next > now) {
            return Ask::Later(next);
        }
        let mut paths = vec![scale_path(view, object, &json)];
        paths.extend(paths_of(view, &json, &object.metadata.namespace));
        Ask::Paths(paths)
    }

    fn reconcile(&self, _view: &View, _target: &Target, _now: Timestamp) -> Plan {
        Plan::nothing()
    }

    fn decide(&self, view: &View, target: &Target, now: Timestamp, answers: &Answers) -> Plan {
        let resource = &resources::HORIZONTAL_POD_AUTOSCALERS;
        let Some(object) = view.object(resource, &target.key) else { return Plan::nothing() };
        let Some(json) = object.decode::<Value>() else { return Plan::nothing() };
        Sync { view, object, json: &json, answers, now }.plan()
    }
}

/// The resource that an autoscaler scales.
fn scaled(view: &View, json: &Value) -> Resource {
    let target = &json["spec"]["scaleTargetRef"];
    let text = |field: &str| target[field].as_str().unwrap_or_default().to_owned();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    match view.resource_of_kind(group, &text("kind")) {
        Some(known) => Resource { version: version.to_owned().into(), ..Resource::clone(known) },
        // Kinds of custom resources are named by rule, until discovery says otherwise.
        None => Resource {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            plural: format!("{}s", text("kind").to_lowercase()).into(),
            kind: text("kind").into(),
            namespaced: true,
        },
    }
}

fn scale_path(view: &View, object: &Object, json: &Value) -> String {
    let name = json["spec"]["scaleTargetRef"]["name"].as_str().unwrap_or_default();
    scaled(view, json).path(&object.metadata.namespace, name, "scale")
}

impl Sync<'_> {
    fn plan(&self) -> Plan {
        let mut memory = Memory::of(&self.answers.memory);
        let mut conditions = Conditions::of(self.json, self.now);
        let mut plan = self.scale(&mut memory, &mut conditions);
        let next = self.now + INTERVAL;
        plan.not_later_than(next);
        plan.remember = Some(memory.kept(next, &self.json["spec"], self.now));
        plan
    }

    fn scale(&self, memory: &mut Memory, conditions: &mut Conditions) -> Plan {
        let scale = match self.answers.get(&scale_path(self.view, self.object, self.json)) {
            Ok(scale) => scale,
            Err(why) => {
                let message = format!(
                    "the HPA controller was unable to get the target's current scale: {why}"
                );
                conditions.set("AbleToScale", "False", "FailedGetScale", &message);
                let mut plan = self.write(conditions, &json!({}));
                plan.events.push(self.warning("FailedGetScale", why.to_owned()));
                return plan;
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        conditions.set("AbleToScale", "True", "SucceededGetScale", message);
        let current = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        memory.begin(current, self.now);
        let (least, most) = self.bounds();
        let news = json!({"currentReplicas": current});
        let mut told = Vec::new();
        let (desired, reason, metrics) = if current == 0 && least != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            conditions.set("ScalingActive", "False", "ScalingDisabled", message);
            (0, String::new(), None)
        } else if current > most {
            (most, "Current number of replicas above Spec.MaxReplicas".to_owned(), None)
        } else if current < least {
            (least, "Current number of replicas below Spec.MinReplicas".to_owned(), None)
        } else {
            let Some(proposal) = self.proposal(scale, conditions, &mut told) else {
                let mut plan = self.write(conditions, &news);
                plan.events = told;
                return plan;
            };
            let desired =
                self.limited(proposal.replicas, current, (least, most), memory, conditions);
            let reason = match desired > current {
                true => format!("{} above target", proposal.metric),
                false => "All metrics below target".to_owned(),
            };
            (desired, reason, Some(proposal.statuses))
        };
        let mut news = json!({"currentReplicas": current, "desiredReplicas": desired});
        if let Some(metrics) = metrics {
            news["currentMetrics"] = metrics;
        }
        if desired == current {
            let mut plan = self.write(conditions, &news);
            plan.events = told;
            return plan;
        }
        memory.scaled(current, desired, self.now);
        news["lastScaleTime"] = json!(status::time(self.now));
        let message =
            format!("the HPA controller was able to update the target scale to {desired}");
        conditions.set("AbleToScale", "True", "SucceededRescale", &message);
        let status = self.write(conditions, &news);
        let mut plan = Plan::one(self.resize(scale, desired, &reason));
        for stage in status.stages {
            plan.then(stage);
        }
        plan.events = told;
        plan
    }

    fn bounds(&self) -> (i64, i64) {
        let spec = &self.json["spec"];
        (spec["minReplicas"].as_i64().unwrap_or(1), spec["maxReplicas"].as_i64().unwrap_or(1))
    }

    /// The largest number that a metric asks for. None when none can be told.
    fn proposal(
        &self,
        scale: &Value,
        conditions: &mut Conditions,
        told: &mut Vec<kd_client::Occurrence>,
    ) -> Option<Proposal> {
        let text = scale["status"]["selector"].as_str().unwrap_or_default();
        let selector = Selector::parse(text).ok().filter(|selector| !selector.is_everything());
        let Some(selector) = selector else {
            let message = "the HPA target's scale is missing a selector";
            conditions.set("ScalingActive", "False", "InvalidSelector", message);
            told.push(self.warning("SelectorRequired", message.to_owned()));
            return None;
        };
        match self.measure(scale, &selector) {
            Ok(proposal) => {
                let metric = &proposal.metric;
                let message = format!(
                    "the HPA was able to successfully calculate a replica count from {metric}"
                );
                conditions.set("ScalingActive", "True", "ValidMetricFound", &message);
                Some(proposal)
            }
            Err(Invalid { first: (reason, why), told: message }) => {
                let condition = format!("the HPA was unable to compute the replica count: {why}");
                conditions.set("ScalingActive", "False", reason, &condition);
                told.push(self.warning(reason, why));
                told.push(self.warning("FailedComputeMetricsReplicas", message));
                None
            }
        }
    }

    fn resize(&self, scale: &Value, desired: i64, reason: &str) -> Step {
        let name = self.json["spec"]["scaleTargetRef"]["name"].as_str().unwrap_or_default();
        let key = Key::new(&self.object.metadata.namespace, name);
        let mut body = scale.clone();
        body["spec"]["replicas"] = json!(desired);
        let done = format!("New size: {desired}; reason: {reason}");
        let failed = format!("New size: {desired}; reason: {reason}; error: {{}}");
        let resource = scaled(self.view, self.json);
        Step::update_scale(&resource, key, &body)
            .telling(self.notice("SuccessfulRescale", done))
            .complaining(self.warning("FailedRescale", failed))
    }

    fn notice(&self, reason: &str, message: String) -> kd_client::Occurrence {
        let resource = &resources::HORIZONTAL_POD_AUTOSCALERS;
        event(resource, self.object, EventType::Normal, reason, message)
    }

    fn warning(&self, reason: &str, message: String) -> kd_client::Occurrence {
        let resource = &resources::HORIZONTAL_POD_AUTOSCALERS;
        event(resource, self.object, EventType::Warning, reason, message)
    }
}

#[cfg(test)]
mod tests;
