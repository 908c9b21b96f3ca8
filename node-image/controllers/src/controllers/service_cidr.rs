//! ServiceCIDRs: ready while they stay, and held until no IPAddress is left that only they cover.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use kd_client::{Change, Interest, Object, PatchKind, View, resources};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";
/// How long a range that is deleted stays.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

pub(super) struct ServiceCidrs;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    cidrs: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<ReadyHead>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReadyHead {
    #[serde(rename = "type")]
    name: String,
    status: String,
    reason: String,
}

impl Controller for ServiceCidrs {
    fn name(&self) -> &'static str {
        "service-cidr-controller"
    }

    fn account(&self) -> &'static str {
        "service-cidrs-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::SERVICE_CIDRS),
            Interest::metadata(&resources::IP_ADDRESSES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let resource = shared(&resources::SERVICE_CIDRS);
        let all = view.objects(&resource, None);
        let address = change.resource.same(&resources::IP_ADDRESSES);
        // An address that goes may have been the last one; a range that comes or goes covers for
        // others.
        if address && change.new.is_some() {
            return Vec::new();
        }
        let concerned = all.filter(|range| !address || range.metadata.is_deleting());
        let mut targets: Vec<Target> =
            concerned.map(|range| Target::of(&resource, range)).collect();
        if !address {
            targets.push(Target::of(&resource, object));
            targets.sort();
            targets.dedup();
        }
        targets
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::SERVICE_CIDRS, &target.key) else {
            return Plan::nothing();
        };
        let head: Head = object.decode().unwrap_or_default();
        let held = object.metadata.finalizers.iter().any(|name| name == FINALIZER);
        if !object.metadata.is_deleting() {
            let mut plan = Plan::nothing();
            if !held {
                plan.also(finalizers(object, true));
            }
            let message = "Kubernetes Service CIDR is ready";
            plan.then(set_ready(object, &head, ("True", "", message), now).into_iter().collect());
            return plan;
        }
        if !held {
            return Plan::nothing();
        }
        if !has_orphans(view, object, &head) {
            // Whoever takes an address of it meanwhile is seen.
            let due = object.metadata.deletion_timestamp.unwrap_or(now) + GRACE;
            return if due > now { Plan::at(due) } else { Plan::one(finalizers(object, false)) };
        }
        let message = "There are still IPAddresses referencing the ServiceCIDR, please remove \
                       them or create a new ServiceCIDR";
        let news = ("False", "Terminating", message);
        Plan::together(set_ready(object, &head, news, now).into_iter().collect())
    }
}

fn ranges(object: &Object) -> Vec<IpNet> {
    let head: Head = object.decode().unwrap_or_default();
    head.spec.cidrs.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Whether addresses are in use that no other range would cover.
fn has_orphans(view: &View, object: &Object, head: &Head) -> bool {
    let own: Vec<IpNet> = head.spec.cidrs.iter().filter_map(|text| text.parse().ok()).collect();
    let others = view.objects(&resources::SERVICE_CIDRS, None);
    let others = others.filter(|other| {
        other.metadata.name != object.metadata.name && !other.metadata.is_deleting()
    });
    let others: Vec<IpNet> = others.flat_map(|other| ranges(other)).collect();
    view.objects(&resources::IP_ADDRESSES, None).any(|object| {
        let Ok(address) = object.metadata.name.parse::<IpAddr>() else { return false };
        let covered = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        covered(&own) && !covered(&others)
    })
}

fn finalizers(object: &Object, hold: bool) -> Step {
    let mut all: Vec<&str> =
        object.metadata.finalizers.iter().map(String::as_str).filter(|n| *n != FINALIZER).collect();
    if hold {
        all.push(FINALIZER);
    }
    let patch = json!({"metadata": {"finalizers": all,
        "resourceVersion": object.metadata.resource_version}});
    Step::patch(&resources::SERVICE_CIDRS, object.key(), "", PatchKind::Merge, patch)
}

fn set_ready(
    object: &Object,
    head: &Head,
    (status, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> Option<Step> {
    let known = head.status.conditions.iter().find(|condition| condition.name == READY);
    if known.is_some_and(|known| known.status == status && known.reason == reason) {
        return None;
    }
    let condition = json!({"type": READY, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    let mut updated: Value = object.decode()?;
    updated["status"] = json!({"conditions": [condition]});
    Some(Step::update_status(&resources::SERVICE_CIDRS, object.key(), &updated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, body, lines, merge, object, plan, time, view};

    fn range(name: &str, cidr: &str, more: Value) -> Value {
        let mut all = object("ServiceCIDR", "", name, json!({"spec": {"cidrs": [cidr]}}));
        merge(&mut all, more);
        all
    }

    fn check(objects: &[Value], second: i64, expect: &[&str], again: Option<i64>) -> Plan {
        let plan =
            plan(&ServiceCidrs, &view(objects), &resources::SERVICE_CIDRS, ("", "r"), second);
        assert_eq!(lines(&plan), expect);
        assert_eq!(plan.again, again.map(at));
        plan
    }

    #[test]
    fn a_range_is_held_and_ready() {
        let expect = ["patch servicecidrs r", "--", "update servicecidrs/status r"];
        let plan = check(&[range("r", "10.0.0.0/24", json!({}))], 1, &expect, None);
        let status = body(&plan, 1)["status"].clone();
        let settled = json!({"metadata": {"finalizers": [FINALIZER]}, "status": status});
        check(&[range("r", "10.0.0.0/24", settled)], 2, &[], None);
    }

    #[test]
    fn a_range_goes_when_nobody_needs_it() {
        let going = json!({"metadata": {"finalizers": [FINALIZER], "deletionTimestamp": time(1)}});
        let going = range("r", "10.0.0.0/24", going);
        let address = object("IPAddress", "", "10.0.0.7", json!({}));
        let kept =
            check(&[going.clone(), address.clone()], 1, &["update servicecidrs/status r"], None);
        assert_eq!(body(&kept, 0)["status"]["conditions"][0]["reason"], "Terminating");
        let other = range("s", "10.0.0.0/16", json!({}));
        check(&[going.clone(), address, other], 5, &[], Some(11));
        check(&[going], 11, &["patch servicecidrs r"], None);
    }
}
