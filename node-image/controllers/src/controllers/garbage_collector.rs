//! Deletes what its owners left behind: in the background, in the foreground (owner last), or not at
//! all (orphans). Knows every resource by its metadata only.

use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{
    Change, DeleteOptions, Interest, Key, Object, OwnerReference, PatchKind, Resource, View,
    resources,
};
use serde_json::json;

use crate::{Controller, Guard, Plan, Step, Target};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub(super) struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn account(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::metadata(&resources::NAMESPACES),
            Interest::full(&resources::CUSTOM_RESOURCE_DEFINITIONS),
            Interest::metadata(&resources::API_SERVICES),
        ]
    }

    fn reads_everything(&self) -> bool {
        true
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return dependents_of(view, &change.resource) };
        let mut targets = Vec::new();
        let owned = !object.metadata.owner_references.is_empty();
        let holding = holds(object, FOREGROUND) || holds(object, ORPHAN);
        if change.new.is_some() && (owned || (object.metadata.is_deleting() && holding)) {
            targets.push(Target::of(&change.resource, object));
        }
        // A gone owner concerns its dependents, a gone dependent its waiting owners, and so does one
        // that lost an owner reference.
        if change.new.is_none() || object.metadata.is_deleting() {
            let dependents = view.owned_by(&object.metadata.uid);
            targets.extend(dependents.map(|(resource, o)| Target::of(resource, o)));
        }
        let before = change.old.iter().flat_map(|old| &old.metadata.owner_references);
        for owner in before.chain(&object.metadata.owner_references) {
            let namespace = &object.metadata.namespace;
            if let Some((resource, found)) = find_owner(view, owner, namespace)
                && found.metadata.is_deleting()
            {
                targets.push(Target::of(resource, found));
            }
        }
        targets
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let Some(object) = view.object(&target.resource, &target.key) else {
            return Plan::nothing();
        };
        if object.metadata.is_deleting() {
            let waiting = holds(object, FOREGROUND);
            return match holds(object, ORPHAN) {
                true => orphan_dependents(view, target, object),
                false if waiting => delete_dependents(view, target, object),
                false => Plan::nothing(),
            };
        }
        collect(view, target, object)
    }
}

/// What has owners of a kind. A kind that comes to be served tells what nothing could be said of.
fn dependents_of(view: &View, owners: &Resource) -> Vec<Target> {
    let of_kind =
        |owner: &OwnerReference| owner.kind == owners.kind && owner.group() == owners.group;
    let resources = view
        .resources()
        .flat_map(|resource| view.objects(resource, None).map(move |object| (resource, object)));
    let owned = resources.filter(|(_, o)| o.metadata.owner_references.iter().any(of_kind));
    owned.map(|(resource, object)| Target::of(resource, object)).collect()
}

fn holds(object: &Object, finalizer: &str) -> bool {
    object.metadata.finalizers.iter().any(|f| f == finalizer)
}

/// Whether it is being deleted in the foreground.
fn is_waiting(object: &Object) -> bool {
    object.metadata.is_deleting() && holds(object, FOREGROUND)
}

/// Whether any of its owners would wait for it.
fn blocks(object: &Object) -> bool {
    object.metadata.owner_references.iter().any(|owner| owner.block_owner_deletion == Some(true))
}

/// How an owner stands to its dependent.
enum Owner {
    Solid,
    /// Not in the View: gone, unless the View lags behind.
    Absent(Guard),
    /// Being deleted in the foreground, waiting for this dependent.
    Waiting,
    /// Of a kind that is not served (now), or not synced: nothing can be said.
    Unknown,
}

fn owner_resource<'a>(view: &'a View, owner: &OwnerReference) -> Option<&'a Arc<Resource>> {
    view.resource_of_kind(owner.group(), &owner.kind)
}

fn owner_key(resource: &Resource, owner: &OwnerReference, namespace: &str) -> Key {
    Key::new(if resource.namespaced { namespace } else { "" }, &owner.name)
}

fn find_owner<'a>(
    view: &'a View,
    owner: &OwnerReference,
    namespace: &str,
) -> Option<(&'a Arc<Resource>, &'a Arc<Object>)> {
    let resource = owner_resource(view, owner)?;
    let object = view.object(resource, &owner_key(resource, owner, namespace))?;
    (object.metadata.uid == owner.uid).then_some((resource, object))
}

fn classify(view: &View, owner: &OwnerReference, namespace: &str) -> Owner {
    if let Some((_, object)) = find_owner(view, owner, namespace) {
        return if is_waiting(object) { Owner::Waiting } else { Owner::Solid };
    }
    let Some(resource) = owner_resource(view, owner).filter(|r| view.is_synced(r)) else {
        return Owner::Unknown;
    };
    // A cluster-scoped object cannot be owned from within a namespace: such an owner is nowhere.
    let misplaced = resource.namespaced && namespace.is_empty();
    if misplaced {
        return Owner::Unknown;
    }
    let key = owner_key(resource, owner, namespace);
    Owner::Absent(Guard::Absent {
        resource: Resource::clone(resource),
        key,
        uid: owner.uid.clone(),
    })
}

/// Deletes an object all of whose owners are gone, or drops those owners that are.
fn collect(view: &View, target: &Target, object: &Object) -> Plan {
    let owners = &object.metadata.owner_references;
    let namespace = &object.metadata.namespace;
    let (mut solid, mut guards, mut waiting) = (0, Vec::new(), 0);
    let mut leaving: Vec<&OwnerReference> = Vec::new();
    for owner in owners {
        match classify(view, owner, namespace) {
            Owner::Solid => solid += 1,
            Owner::Unknown => return Plan::nothing(),
            Owner::Absent(guard) => {
                guards.push(guard);
                leaving.push(owner);
            }
            Owner::Waiting => {
                waiting += 1;
                leaving.push(owner);
            }
        }
    }
    if leaving.is_empty() {
        return Plan::nothing();
    }
    let mut dependents = view.owned_by(&object.metadata.uid).peekable();
    let waited_for = waiting > 0 && dependents.peek().is_some();
    let mut step = if solid > 0 {
        drop_owners(target, object, &leaving)
    } else if waited_for && blocks(object) && dependents.any(|(_, o)| is_waiting(o)) {
        // Round a circle everybody would wait for everybody.
        return Plan::one(unblock(target, object));
    } else if waited_for {
        delete(target, object, "Foreground")
    } else {
        delete(target, object, own_policy(object))
    };
    step.guards = guards;
    Plan::one(step)
}

/// No owner waits for the object any more.
fn unblock(target: &Target, object: &Object) -> Step {
    let mut owners = object.metadata.owner_references.clone();
    for owner in owners.iter_mut().filter(|owner| owner.block_owner_deletion == Some(true)) {
        owner.block_owner_deletion = Some(false);
    }
    with_owners(target, object, &owners.iter().collect::<Vec<_>>())
}

/// What the object's own finalizers ask for.
fn own_policy(object: &Object) -> &'static str {
    match (holds(object, ORPHAN), holds(object, FOREGROUND)) {
        (true, _) => "Orphan",
        (_, true) => "Foreground",
        _ => "Background",
    }
}

fn delete(target: &Target, object: &Object, policy: &'static str) -> Step {
    let mut options = DeleteOptions::of(&object.metadata.uid);
    options.propagation_policy = Some(policy);
    // Another owner may have been added since.
    options.preconditions.resource_version = Some(object.metadata.resource_version.clone());
    Step::delete(&target.resource, target.key.clone(), options)
}

/// Takes owners out of an object.
fn drop_owners(target: &Target, object: &Object, leaving: &[&OwnerReference]) -> Step {
    let all = object.metadata.owner_references.iter();
    let rest: Vec<&OwnerReference> = all.filter(|owner| !leaving.contains(owner)).collect();
    with_owners(target, object, &rest)
}

/// Gives an object these owners; the resourceVersion keeps others' changes.
fn with_owners(target: &Target, object: &Object, owners: &[&OwnerReference]) -> Step {
    let patch = json!({"metadata": {
        "ownerReferences": owners,
        "uid": object.metadata.uid,
        "resourceVersion": object.metadata.resource_version,
    }});
    Step::patch(&target.resource, target.key.clone(), "", PatchKind::Merge, patch)
}

fn drop_finalizer(target: &Target, object: &Object, finalizer: &str) -> Step {
    let all = object.metadata.finalizers.iter();
    let rest: Vec<&String> = all.filter(|f| *f != finalizer).collect();
    let patch = json!({"metadata": {
        "finalizers": rest,
        "resourceVersion": object.metadata.resource_version,
    }});
    Step::patch(&target.resource, target.key.clone(), "", PatchKind::Merge, patch)
}

/// Foreground deletion: the dependents that block go first.
fn delete_dependents(view: &View, target: &Target, object: &Object) -> Plan {
    let uid = object.metadata.uid.as_str();
    let blocks_it = |o: &Object| {
        let owners = &o.metadata.owner_references;
        owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
    };
    let blocking: Vec<_> = view.owned_by(uid).filter(|(_, o)| blocks_it(o)).collect();
    if blocking.is_empty() {
        return Plan::one(drop_finalizer(target, object, FOREGROUND));
    }
    let due = blocking.into_iter().filter(|(_, o)| !o.metadata.is_deleting());
    // Whether a dependent goes or merely loses this owner is its own decision.
    let plans = due.map(|(resource, o)| collect(view, &Target::of(resource, o), o));
    Plan::together(plans.flat_map(|plan| plan.stages.into_iter().flatten()).collect())
}

fn orphan_dependents(view: &View, target: &Target, object: &Object) -> Plan {
    let uid = object.metadata.uid.as_str();
    let dependents = view.owned_by(uid).map(|(resource, o)| {
        let owners = &o.metadata.owner_references;
        let leaving: Vec<&OwnerReference> =
            owners.iter().filter(|owner| owner.uid == uid).collect();
        drop_owners(&Target::of(resource, o), o, &leaving)
    });
    let mut plan = Plan::together(dependents.collect());
    plan.then(vec![drop_finalizer(target, object, ORPHAN)]);
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, object, plan, time, view};

    fn owned(kind: &str, name: &str, owners: &[(&str, &str, bool)], more: Value) -> Value {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(kind, name, block)| {
                let version = if *kind == "Pod" { "v1" } else { "apps/v1" };
                json!({"apiVersion": version, "kind": kind, "name": name,
                    "uid": format!("{name}-uid"), "blockOwnerDeletion": block})
            })
            .collect();
        let mut all = object(kind, "a", name, json!({"metadata": {"ownerReferences": owners}}));
        crate::testing::merge(&mut all, more);
        all
    }

    fn deleting(finalizer: &str) -> Value {
        json!({"metadata": {"deletionTimestamp": time(1), "finalizers": [finalizer, "x/y"]}})
    }

    fn check(objects: &[Value], resource: &Resource, name: &str, expect: &[&str]) -> Plan {
        let plan = plan(&GarbageCollector, &view(objects), resource, ("a", name), 2);
        assert_eq!(lines(&plan), expect);
        plan
    }

    #[test]
    fn background() {
        let pod = owned("Pod", "p", &[("ReplicaSet", "r", true)], json!({}));
        let set = object("ReplicaSet", "a", "r", json!({}));
        let other = object("ReplicaSet", "a", "r", json!({"metadata": {"uid": "another"}}));
        check(&[pod.clone(), set], &resources::PODS, "p", &[]);
        check(&[pod.clone(), other], &resources::PODS, "p", &["delete pods a/p"]);
        let plan = check(&[pod], &resources::PODS, "p", &["delete pods a/p"]);
        assert_eq!(plan.steps().next().unwrap().guards.len(), 1);
    }

    #[test]
    fn one_owner_is_enough() {
        let owners = [("ReplicaSet", "r", true), ("Deployment", "d", true)];
        let objects =
            [owned("Pod", "p", &owners, json!({})), object("Deployment", "a", "d", json!({}))];
        let plan = check(&objects, &resources::PODS, "p", &["patch pods a/p"]);
        assert_eq!(body(&plan, 0)["metadata"]["ownerReferences"][0]["name"], "d");
    }

    #[test]
    fn unknown_kinds_keep_their_dependents() {
        let pod = owned("Pod", "p", &[("Gadget", "g", true)], json!({}));
        check(&[pod], &resources::PODS, "p", &[]);
    }

    #[test]
    fn foreground() {
        let set = object("ReplicaSet", "a", "r", deleting(FOREGROUND));
        let pod = owned("Pod", "p", &[("ReplicaSet", "r", true)], json!({}));
        let free = owned("Pod", "q", &[("ReplicaSet", "r", false)], json!({}));
        let sets = &resources::REPLICA_SETS;
        check(&[set.clone(), pod.clone(), free.clone()], sets, "r", &["delete pods a/p"]);
        let gone = owned("Pod", "p", &[("ReplicaSet", "r", true)], deleting("z"));
        check(&[set.clone(), gone], sets, "r", &[]);
        let plan = check(&[set, free], sets, "r", &["patch replicasets a/r"]);
        assert_eq!(body(&plan, 0)["metadata"]["finalizers"], json!(["x/y"]));
    }

    #[test]
    fn circles_are_opened() {
        let going = owned("Pod", "p", &[("Pod", "r", true)], deleting(FOREGROUND));
        let second = owned("Pod", "q", &[("Pod", "p", true)], json!({}));
        let third = |block| owned("Pod", "r", &[("Pod", "q", block)], json!({}));
        let pods = &resources::PODS;
        check(&[going.clone(), second.clone(), third(true)], pods, "q", &["delete pods a/q"]);
        let mut second = second;
        crate::testing::merge(&mut second, deleting(FOREGROUND));
        let all = [going.clone(), second.clone(), third(true)];
        let opened = check(&all, pods, "r", &["patch pods a/r"]);
        assert_eq!(body(&opened, 0)["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], false);
        check(&[going, second, third(false)], pods, "r", &["delete pods a/r"]);
    }

    #[test]
    fn a_kind_that_appears_concerns_its_dependents() {
        let pod = owned("Pod", "p", &[("Gadget", "g", true)], json!({}));
        let gadgets = Resource {
            group: "apps".into(),
            version: "v1".into(),
            plural: "gadgets".into(),
            kind: "Gadget".into(),
            namespaced: true,
        };
        let mut view = view(std::slice::from_ref(&pod));
        view.sync(&gadgets, 5);
        let change = Change { resource: Arc::new(gadgets), old: None, new: None };
        let targets = GarbageCollector.targets(&view, &change);
        assert_eq!(targets.iter().map(|t| t.key.to_string()).collect::<Vec<_>>(), ["a/p"]);
        let plan = GarbageCollector.reconcile(&view, &targets[0], crate::testing::at(1));
        assert_eq!(lines(&plan), ["delete pods a/p"]);
    }

    #[test]
    fn orphans() {
        let set = object("ReplicaSet", "a", "r", deleting(ORPHAN));
        let pod = owned("Pod", "p", &[("ReplicaSet", "r", true)], json!({}));
        let expect = ["patch pods a/p", "--", "patch replicasets a/r"];
        let plan = check(&[set, pod], &resources::REPLICA_SETS, "r", &expect);
        assert_eq!(body(&plan, 0)["metadata"]["ownerReferences"], json!([]));
    }
}
