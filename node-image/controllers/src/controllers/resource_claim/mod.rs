//! ResourceClaims of pods: made of templates, told in the pod's status, reserved for pods that were
//! placed without the scheduler, taken back from pods that are done, and deleted with them.

pub(super) mod state;

use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, PatchKind, View, resources,
};
use serde_json::{Value, json};

use self::state::{Claim, Consumer, Pod, PodClaim};
use crate::claims::owner_reference;
use crate::controller::shared;
use crate::{Controller, Guard, Plan, Step, Target, event};

/// Annotation of a claim that was made for a pod: the pod's name for it.
const POD_CLAIM_NAME: &str = "resource.kubernetes.io/pod-claim-name";
/// Holds a claim that has devices.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Room for a hyphen and five random letters in a name of 63.
const NAME_BASE_LEN_MAX: usize = 57;
/// Consumers of one claim, as the API limits them.
const CONSUMERS_MAX: usize = 256;

pub(super) struct ResourceClaims;

impl Controller for ResourceClaims {
    fn name(&self) -> &'static str {
        "resource-claim-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::PODS),
            Interest::full(&resources::RESOURCE_CLAIMS),
            Interest::full(&resources::RESOURCE_CLAIM_TEMPLATES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(&resources::PODS) {
            return of_pod(change, object);
        }
        if change.resource.same(&resources::RESOURCE_CLAIMS) {
            let mut targets = vec![Target::of(&change.resource, object)];
            let owner = object.metadata.controller().filter(|owner| owner.kind == "Pod");
            let key = owner.map(|owner| Key::new(&object.metadata.namespace, &owner.name));
            targets.extend(key.map(|key| Target::new(&shared(&resources::PODS), key)));
            return targets;
        }
        let pods = view.objects(&resources::PODS, Some(&object.metadata.namespace));
        let wanting = pods.filter(|pod| {
            Pod::of(pod).is_some_and(|pod| {
                let mut templates = pod.spec.resource_claims.iter();
                templates.any(|claim| {
                    claim.resource_claim_template_name.as_ref() == Some(&object.metadata.name)
                })
            })
        });
        wanting.map(|pod| Target::of(&shared(&resources::PODS), pod)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&target.resource, &target.key) else {
            return Plan::nothing();
        };
        match target.resource.same(&resources::PODS) {
            true => Pod::of(object).map(|pod| look_after_pod(view, object, &pod)),
            false => object.decode().map(|claim| look_after_claim(view, object, &claim)),
        }
        .unwrap_or_default()
    }
}

/// A pod concerns itself and the claims that it has or had.
fn of_pod(change: &Change, object: &Object) -> Vec<Target> {
    let mut targets = Vec::new();
    let states = change.old.iter().chain(&change.new);
    for pod in states.filter_map(|state| Pod::of(state)) {
        let claims = shared(&resources::RESOURCE_CLAIMS);
        let namespace = &object.metadata.namespace;
        let named = pod.claim_names().map(|name| Target::new(&claims, Key::new(namespace, name)));
        targets.extend(named);
        targets.push(Target::of(&change.resource, object));
    }
    targets.sort();
    targets.dedup();
    targets
}

/// Makes the claims that a pod lacks, tells it their names, and reserves them where the scheduler
/// did not.
fn look_after_pod(view: &View, object: &Arc<Object>, pod: &Pod) -> Plan {
    if object.metadata.is_deleting() || pod.is_done(object) {
        return Plan::nothing();
    }
    let mut plan = Plan::nothing();
    let mut names: Vec<(String, String)> = Vec::new();
    for claim in &pod.spec.resource_claims {
        let Some(template) = &claim.resource_claim_template_name else { continue };
        match made_for(view, object, pod, claim) {
            Made::Told => {}
            Made::Found(name) => names.push((claim.name.clone(), name)),
            Made::Missing => match creation(view, object, claim, template) {
                Ok(step) => plan.also(step),
                Err(why) => plan.events.push(failure(object, claim, &why)),
            },
        }
    }
    if !names.is_empty() {
        plan.also(tell(object, pod, &names));
    }
    if plan.is_empty() && object.node().is_some() {
        plan.then(pod.claim_names().filter_map(|name| reserve(view, object, name)).collect());
    }
    plan
}

/// Whether a pod's claim was made.
enum Made {
    /// The pod's status names it, or says that none is needed.
    Told,
    /// It is there, and the pod's status does not name it.
    Found(String),
    Missing,
}

fn made_for(view: &View, object: &Object, pod: &Pod, claim: &PodClaim) -> Made {
    let owned = |claim: &Object| {
        claim.metadata.controller().is_some_and(|owner| owner.uid == object.metadata.uid)
    };
    if let Some(status) = pod.status_of(&claim.name) {
        let Some(name) = &status.resource_claim_name else { return Made::Told };
        let key = Key::new(&object.metadata.namespace, name);
        if view.object(&resources::RESOURCE_CLAIMS, &key).is_some_and(|claim| owned(claim)) {
            return Made::Told;
        }
    }
    let claims = view.controlled_by(&resources::RESOURCE_CLAIMS, &object.metadata.uid);
    let named = claims.filter(|found| {
        let annotations = found.decode::<Claim>().map(|claim| claim.metadata.annotations);
        annotations.is_some_and(|all| all.get(POD_CLAIM_NAME) == Some(&claim.name))
    });
    let first = named.into_iter().find(|found| !found.metadata.is_deleting());
    first.map_or(Made::Missing, |found| Made::Found(found.metadata.name.clone()))
}

fn creation(
    view: &View,
    object: &Object,
    claim: &PodClaim,
    template: &str,
) -> Result<Step, String> {
    let namespace = &object.metadata.namespace;
    let key = Key::new(namespace, template);
    let found = view.object(&resources::RESOURCE_CLAIM_TEMPLATES, &key);
    let found = found.and_then(|template| template.decode::<Value>()).ok_or_else(|| {
        format!(
            "resource claim template {template:?}: \
             resourceclaimtemplate.resource.k8s.io {template:?} not found"
        )
    })?;
    let given = &found["spec"]["metadata"];
    let mut metadata = json!({"generateName": base_name(&object.metadata.name, &claim.name),
        "namespace": namespace, "annotations": given["annotations"],
        "ownerReferences": [owner_reference(&resources::PODS, object)]});
    metadata["annotations"][POD_CLAIM_NAME] = json!(claim.name);
    if !given["labels"].is_null() {
        metadata["labels"] = given["labels"].clone();
    }
    let body = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": metadata, "spec": found["spec"]["spec"]});
    let step = Step::create(&resources::RESOURCE_CLAIMS, namespace, &body);
    Ok(step.complaining(failure(object, claim, "create ResourceClaim : {}")))
}

/// `<pod>-<claim>-`, both cut in proportion when they are too long.
fn base_name(pod: &str, claim: &str) -> String {
    let name = format!("{pod}-{claim}-");
    if name.len() <= NAME_BASE_LEN_MAX {
        return name;
    }
    let cut = |part: &str| part[..part.len() * NAME_BASE_LEN_MAX / name.len()].to_owned();
    format!("{}-{}", cut(pod), cut(claim))
}

fn failure(object: &Object, claim: &PodClaim, why: &str) -> kd_client::Occurrence {
    let message = format!("PodResourceClaim {}: {why}", claim.name);
    event(&resources::PODS, object, EventType::Warning, "FailedResourceClaimCreation", message)
}

/// Writes the claims' names into the pod's status.
fn tell(object: &Object, pod: &Pod, names: &[(String, String)]) -> Step {
    let new = |name: &str| names.iter().any(|(pod_name, _)| pod_name == name);
    let known = pod.status.resource_claim_statuses.iter().filter(|status| !new(&status.name));
    let known = known.map(|s| json!({"name": s.name, "resourceClaimName": s.resource_claim_name}));
    let told = names.iter().map(|(name, made)| json!({"name": name, "resourceClaimName": made}));
    let all: Vec<Value> = known.chain(told).collect();
    let patch = json!({"metadata": {"uid": object.metadata.uid},
        "status": {"resourceClaimStatuses": all}});
    Step::patch(&resources::PODS, object.key(), "status", PatchKind::Strategic, patch)
}

/// Reserves a claim that has devices for a pod that has a node.
fn reserve(view: &View, object: &Object, name: &str) -> Option<Step> {
    let key = Key::new(&object.metadata.namespace, name);
    let found = view.object(&resources::RESOURCE_CLAIMS, &key)?;
    let status = found.decode::<Claim>()?.status;
    let uid = &object.metadata.uid;
    let has = status.reserved_for.iter().any(|consumer| consumer.uid == *uid);
    if status.allocation.is_none() || has || status.reserved_for.len() >= CONSUMERS_MAX {
        return None;
    }
    let mut claim: Value = found.decode()?;
    let consumer = json!({"resource": "pods", "name": object.metadata.name, "uid": uid});
    match claim["status"]["reservedFor"].as_array_mut() {
        Some(all) => all.push(consumer),
        None => claim["status"]["reservedFor"] = json!([consumer]),
    }
    Some(Step::update_status(&resources::RESOURCE_CLAIMS, key, &claim))
}

/// Takes a claim back from pods that are done; one that nobody has any more gives its devices back,
/// and goes if it was made for a pod that is done.
fn look_after_claim(view: &View, object: &Arc<Object>, claim: &Claim) -> Plan {
    let before = &claim.status.reserved_for;
    if !before.iter().all(Consumer::is_pod) {
        return Plan::nothing();
    }
    let mut guards = Vec::new();
    let valid: Vec<&Consumer> =
        before.iter().filter(|consumer| keeps(view, object, consumer, &mut guards)).collect();
    let mut plan = Plan::nothing();
    let held = object.metadata.finalizers.iter().any(|name| name == FINALIZER);
    let idle = valid.is_empty();
    let released = valid.len() < before.len();
    if released || (idle && held && object.metadata.is_deleting()) {
        plan = release(object, claim, &valid, held && idle);
        if let Some(first) = plan.stages.first_mut().and_then(|stage| stage.first_mut()) {
            first.guards = guards;
        }
    }
    if idle && is_for_nobody(view, object) && !object.metadata.is_deleting() {
        let options = DeleteOptions::of(&object.metadata.uid);
        plan.then(vec![Step::delete(&resources::RESOURCE_CLAIMS, object.key(), options)]);
    }
    plan
}

/// Whether a consumer may still use the claim. One that the View lacks is looked for again.
fn keeps(view: &View, claim: &Object, consumer: &Consumer, guards: &mut Vec<Guard>) -> bool {
    let key = Key::new(&claim.metadata.namespace, &consumer.name);
    match view.object(&resources::PODS, &key) {
        Some(pod) if pod.metadata.uid == consumer.uid => {
            !pod.decode::<Pod>().unwrap_or_default().is_done(pod)
        }
        _ => {
            let resource = resources::PODS.clone();
            guards.push(Guard::Absent { resource, key, uid: consumer.uid.clone() });
            false
        }
    }
}

/// Writes who is left; the last one gives the devices back, and the finalizer goes with them.
fn release(object: &Object, claim: &Claim, valid: &[&Consumer], unhold: bool) -> Plan {
    let Some(mut updated) = object.decode::<Value>() else { return Plan::nothing() };
    let mut plan = Plan::nothing();
    if valid.len() < claim.status.reserved_for.len() || claim.status.allocation.is_some() {
        let status = updated["status"].as_object_mut();
        if let Some(status) = status {
            let left = |entry: &Value| valid.iter().any(|consumer| entry["uid"] == *consumer.uid);
            if let Some(all) = status.get_mut("reservedFor").and_then(Value::as_array_mut) {
                all.retain(left);
            }
            if unhold {
                status.remove("allocation");
            }
        }
        let resource = &resources::RESOURCE_CLAIMS;
        plan.then(vec![Step::update_status(resource, object.key(), &updated)]);
    }
    if unhold {
        let rest: Vec<&String> =
            object.metadata.finalizers.iter().filter(|name| *name != FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": rest,
            "resourceVersion": object.metadata.resource_version}});
        let kind = PatchKind::Merge;
        let step = Step::patch(&resources::RESOURCE_CLAIMS, object.key(), "", kind, patch);
        plan.then(vec![step.following()]);
    }
    plan
}

/// Whether the claim was made for a pod that is done or was replaced.
fn is_for_nobody(view: &View, claim: &Object) -> bool {
    let owner = claim.metadata.controller();
    let Some(owner) = owner.filter(|o| o.kind == "Pod" && o.api_version == "v1") else {
        return false;
    };
    // A pod that the View lacks is the garbage collector's matter.
    let key = Key::new(&claim.metadata.namespace, &owner.name);
    view.object(&resources::PODS, &key).is_some_and(|pod| {
        pod.metadata.uid != owner.uid || pod.decode::<Pod>().unwrap_or_default().is_done(pod)
    })
}

#[cfg(test)]
mod tests;
