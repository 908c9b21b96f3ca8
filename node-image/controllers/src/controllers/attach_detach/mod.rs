//! Attaches volumes of CSI drivers to the nodes whose pods want them, and detaches them when no pod
//! does and the node has let them go. The drivers' own controllers do the work: a VolumeAttachment
//! asks for it.

mod nodes;
mod volumes;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, PatchKind, View, resources,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use crate::controller::shared;
use crate::{Answers, Ask, Controller, Plan, Step, Target, event};
use nodes::{Attached, is_out_of_service, is_ready, told_attached, told_in_use};
use volumes::{Wanted, others_with, wanted};

/// A node that is not healthy and still has a volume in use loses it after this long.
const FORCE_AFTER: SignedDuration = SignedDuration::from_mins(6);

pub(super) struct AttachDetach;

impl Controller for AttachDetach {
    fn name(&self) -> &'static str {
        "attachdetach-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::NODES),
            Interest::full(&resources::PODS),
            Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS),
            Interest::full(&resources::PERSISTENT_VOLUMES),
            Interest::full(&resources::VOLUME_ATTACHMENTS),
            Interest::full(&resources::CSI_DRIVERS),
            Interest::full(&resources::CSI_NODES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let nodes = shared(&resources::NODES);
        let names = nodes::concerned(view, change).into_iter();
        names.map(|name| Target::new(&nodes, Key::cluster(&name))).collect()
    }

    /// What it told and when it began to wait is remembered; a node without volumes needs neither.
    fn ask(&self, view: &View, target: &Target, _now: Timestamp, _memory: &Value) -> Ask {
        let node = &target.key.name;
        match wanted(view, node).is_empty() && nodes::attachments(view, node).is_empty() {
            true => Ask::Nothing,
            false => Ask::Paths(Vec::new()),
        }
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        self.decide(view, target, now, &Answers::default())
    }

    fn decide(&self, view: &View, target: &Target, now: Timestamp, answers: &Answers) -> Plan {
        let object = view.object(&resources::NODES, &target.key);
        let node = object.and_then(|object| object.decode::<Node>());
        if node.as_ref().is_some_and(|node| !nodes::is_managed(node)) {
            return Plan::nothing();
        }
        let round = Round {
            view,
            name: &target.key.name,
            node,
            now,
            before: serde_json::from_value(answers.memory.clone()).unwrap_or_default(),
            after: Memory::default(),
            plan: Plan::nothing(),
        };
        round.decide()
    }
}

/// What is remembered of a node.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Memory {
    /// What was told of volumes, by attachment: it is not told again.
    told: BTreeMap<String, String>,
    /// Since when attachments are wanted by nobody.
    unwanted: BTreeMap<String, Timestamp>,
}

/// One look at a node.
struct Round<'a> {
    view: &'a View,
    name: &'a str,
    node: Option<Node>,
    now: Timestamp,
    before: Memory,
    after: Memory,
    plan: Plan,
}

impl Round<'_> {
    fn decide(mut self) -> Plan {
        let wanted = wanted(self.view, self.name);
        let attached = nodes::attachments(self.view, self.name);
        let mut listed: BTreeSet<String> = BTreeSet::new();
        let mut steps = Vec::new();
        for volume in &wanted {
            match attached.get(&volume.attachment) {
                None => steps.extend(self.attach(volume)),
                Some(known) if known.attached && !known.deleting => {
                    listed.insert(volume.unique_name.clone());
                }
                Some(known) => self.tell_error(volume, known),
            }
        }
        let mut goes = Vec::new();
        for (name, known) in &attached {
            if wanted.iter().any(|volume| volume.attachment == *name) {
                continue;
            }
            match self.may_go(name) {
                true => goes.extend(self.detach(name, known)),
                false => listed.extend(self.unique_name(name)),
            }
        }
        // The node is told first: nobody mounts what is about to go.
        let told = self.tell_node(listed, &wanted);
        self.plan.then(told.into_iter().chain(steps).collect());
        self.plan.then(goes);
        if self.after != self.before {
            self.plan.remember = serde_json::to_value(&self.after).ok();
        }
        self.plan
    }

    fn attach(&mut self, volume: &Wanted<'_>) -> Option<Step> {
        self.node.as_ref()?;
        if let Some(reason) = others_with(self.view, volume, self.name) {
            let message = format!("Multi-Attach error for volume \"{}\" {reason}", volume.volume);
            self.tell(volume, message);
            return None;
        }
        if !nodes::has_driver(self.view, self.name, &volume.driver) {
            let (node, driver) = (self.name, &volume.driver);
            let reason = format!("CSINode {node} does not contain driver {driver}");
            self.tell(volume, failed(&volume.volume, &reason));
            return None;
        }
        let attachment = json!({
            "apiVersion": resources::VOLUME_ATTACHMENTS.api_version(), "kind": "VolumeAttachment",
            "metadata": {"name": volume.attachment},
            "spec": {"attacher": volume.driver, "nodeName": self.name,
                "source": {"persistentVolumeName": volume.volume}}});
        let complaint = self.occurrence(volume, failed(&volume.volume, "{}"));
        let step = Step::create(&resources::VOLUME_ATTACHMENTS, "", &attachment);
        Some(match complaint {
            Some(complaint) => step.complaining(complaint),
            None => step,
        })
    }

    fn tell_error(&mut self, volume: &Wanted<'_>, known: &Attached) {
        if let Some(error) = &known.error {
            self.tell(volume, failed(&volume.volume, error));
        }
    }

    /// Tells the pods of a volume what stands in the way, once.
    fn tell(&mut self, volume: &Wanted<'_>, message: String) {
        let known = self.before.told.get(&volume.attachment);
        if known != Some(&message) {
            let events = volume.pods.iter().map(|pod| complaint(pod, message.clone()));
            self.plan.events.extend(events);
        }
        self.after.told.insert(volume.attachment.clone(), message);
    }

    fn occurrence(&self, volume: &Wanted<'_>, message: String) -> Option<kd_client::Occurrence> {
        volume.pods.first().map(|pod| complaint(pod, message))
    }

    /// Whether a volume that nobody wants can be taken from the node.
    fn may_go(&mut self, attachment: &str) -> bool {
        let Some(node) = &self.node else { return true };
        let in_use = told_in_use(node);
        if !in_use.iter().any(|name| volumes::is_attachment_of(attachment, name, self.name)) {
            return true;
        }
        let since = self.before.unwanted.get(attachment).copied().unwrap_or(self.now);
        self.after.unwanted.insert(attachment.to_owned(), since);
        if is_out_of_service(node) {
            return true;
        }
        let due = since + FORCE_AFTER;
        let healthy = is_ready(node);
        if !healthy && self.now < due {
            self.plan.not_later_than(due);
        }
        !healthy && self.now >= due
    }

    fn detach(&self, name: &str, known: &Attached) -> Option<Step> {
        let key = Key::cluster(name);
        let options = DeleteOptions::of(&known.uid);
        (!known.deleting).then(|| Step::delete(&resources::VOLUME_ATTACHMENTS, key, options))
    }

    /// The name under which the node lists an attachment.
    fn unique_name(&self, attachment: &str) -> Option<String> {
        let node = self.node.as_ref()?;
        let listed = told_in_use(node).into_iter().chain(told_attached(node));
        let mut ours = listed.filter(|name| volumes::is_attachment_of(attachment, name, self.name));
        ours.next()
    }

    /// Makes `status.volumesAttached` say what is attached.
    fn tell_node(&mut self, listed: BTreeSet<String>, wanted: &[Wanted<'_>]) -> Option<Step> {
        let node = self.node.as_ref()?;
        let known: BTreeSet<String> = told_attached(node).into_iter().collect();
        let foreign = known.iter().filter(|name| !name.starts_with(volumes::PREFIX)).cloned();
        let all: BTreeSet<String> = foreign.chain(listed).collect();
        if all == known {
            return None;
        }
        let fresh = wanted.iter().filter(|volume| {
            all.contains(&volume.unique_name) && !known.contains(&volume.unique_name)
        });
        let mut events: Vec<_> = fresh.flat_map(succeeded).collect();
        let entry = |name: &String| json!({"name": name, "devicePath": ""});
        let list: Vec<Value> = all.iter().map(entry).collect();
        let patch = json!({"status": {"volumesAttached": list}});
        let key = Key::cluster(self.name);
        let mut step = Step::patch(&resources::NODES, key, "status", PatchKind::Merge, patch);
        if let Some(first) = events.pop() {
            step = step.telling(first);
        }
        self.plan.events.extend(events);
        Some(step)
    }
}

fn failed(volume: &str, reason: &str) -> String {
    format!("AttachVolume.Attach failed for volume \"{volume}\" : {reason}")
}

fn complaint(pod: &Object, message: String) -> kd_client::Occurrence {
    event(&resources::PODS, pod, EventType::Warning, "FailedAttachVolume", message)
}

fn succeeded(volume: &Wanted<'_>) -> Vec<kd_client::Occurrence> {
    let message = format!("AttachVolume.Attach succeeded for volume \"{}\" ", volume.volume);
    let tell = |pod: &&Object| {
        let reason = "SuccessfulAttachVolume";
        event(&resources::PODS, pod, EventType::Normal, reason, message.clone())
    };
    volume.pods.iter().map(tell).collect()
}

#[cfg(test)]
mod tests;
