//! An immutable snapshot of many resources. Persistent maps share what did not change, so a View is
//! cheap to take and to keep; indexes by owner, node and namespace are part of it.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};
use k8s_openapi::Resource as TypedResource;
use serde::de::DeserializeOwned;

use crate::{Key, Object, Resource, WatchEvent};

/// What is known at one moment.
#[derive(Clone, Default)]
pub struct View {
    resources: OrdMap<ResourceKey, Contents>,
    owned: HashMap<Box<str>, Few<Place>>,
    on_node: HashMap<Box<str>, Few<Key>>,
}

type ResourceKey = (Box<str>, Box<str>);
type Place = (Arc<Resource>, Key);

/// An ordered set that takes no more than it needs while it is small, as most are: a node owns one
/// Lease, a ReplicaSet a few pods.
#[derive(Clone)]
enum Few<T> {
    Few(Arc<Vec<T>>),
    Many(OrdSet<T>),
}

/// Sets up to here are small.
const FEW_MAX: usize = 8;

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few::Few(Arc::default())
    }
}

impl<T: Ord + Clone> Few<T> {
    fn insert(&mut self, item: T) {
        match self {
            Few::Many(items) => {
                items.insert(item);
            }
            Few::Few(items) => {
                let Err(place) = items.binary_search(&item) else { return };
                if items.len() < FEW_MAX {
                    let items = Arc::make_mut(items);
                    items.reserve_exact(1);
                    items.insert(place, item);
                } else {
                    *self = Few::Many(items.iter().cloned().chain([item]).collect());
                }
            }
        }
    }

    fn remove(&mut self, item: &T) {
        match self {
            Few::Many(items) => {
                items.remove(item);
                if items.len() <= FEW_MAX / 2 {
                    *self = Few::Few(Arc::new(items.iter().cloned().collect()));
                }
            }
            Few::Few(items) => {
                if let Ok(place) = items.binary_search(item) {
                    Arc::make_mut(items).remove(place);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Few::Few(items) => items.is_empty(),
            Few::Many(items) => items.is_empty(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Few::Few(items) => (Some(items.iter()), None),
            Few::Many(items) => (None, Some(items.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}

#[derive(Clone)]
struct Contents {
    resource: Arc<Resource>,
    objects: OrdMap<Key, Arc<Object>>,
    revision: u64,
    synced: bool,
}

fn resource_key(group: &str, plural: &str) -> ResourceKey {
    (group.into(), plural.into())
}

impl View {
    /// An empty View of these resources, none of which is synced.
    pub fn of(resources: impl IntoIterator<Item = Resource>) -> View {
        let mut view = View::default();
        for resource in resources {
            view.insert_resource(&Arc::new(resource));
        }
        view
    }

    /// One object as a type.
    pub fn get<K: TypedResource + DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<K> {
        self.find(K::GROUP, K::URL_PATH_SEGMENT, &Key::new(namespace, name))?.decode()
    }

    /// All objects of a type, of one namespace if given, ordered by key.
    pub fn list<K: TypedResource + DeserializeOwned>(&self, namespace: Option<&str>) -> Vec<K> {
        self.contents(K::GROUP, K::URL_PATH_SEGMENT)
            .into_iter()
            .flat_map(|c| range(c, namespace))
            .filter_map(|o| o.decode())
            .collect()
    }

    /// One object.
    pub fn object(&self, resource: &Resource, key: &Key) -> Option<&Arc<Object>> {
        self.find(&resource.group, &resource.plural, key)
    }

    /// All objects of a resource, of one namespace if given, ordered by key.
    pub fn objects<'a>(
        &'a self,
        resource: &Resource,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.contents(&resource.group, &resource.plural)
            .into_iter()
            .flat_map(move |c| range(c, namespace))
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: &Resource) -> usize {
        self.contents(&resource.group, &resource.plural).map_or(0, |c| c.objects.len())
    }

    /// What names the object of this uid as its owner.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = (&Arc<Resource>, &Arc<Object>)> {
        self.owned.get(uid).into_iter().flat_map(Few::iter).filter_map(|(resource, key)| {
            self.object(resource, key).map(|object| (resource, object))
        })
    }

    /// What of one resource is controlled by the object of this uid.
    pub fn controlled_by<'a>(
        &'a self,
        resource: &'a Resource,
        uid: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.owned_by(uid)
            .filter(move |(r, _)| r.same(resource))
            .map(|(_, object)| object)
            .filter(move |object| object.metadata.controller().is_some_and(|c| c.uid == uid))
    }

    /// The pods bound to a node.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Object>> {
        let keys = self.on_node.get(node).into_iter().flat_map(Few::iter);
        keys.filter_map(|key| self.find("", "pods", key))
    }

    /// The names of nodes that pods are bound to, whether or not the nodes exist.
    pub fn nodes_with_pods(&self) -> impl Iterator<Item = &str> {
        self.on_node.keys().map(|name| &**name)
    }

    /// The resources in the View.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values().map(|c| &c.resource)
    }

    /// The resource of a group and kind, as owner references name it.
    pub fn resource_of_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.resources().find(|r| r.group == group && r.kind == kind)
    }

    /// The revision up to which a resource is known; 0 when it is not watched.
    pub fn revision(&self, resource: &Resource) -> u64 {
        self.contents(&resource.group, &resource.plural).map_or(0, |c| c.revision)
    }

    /// Whether a resource's first list is in the View.
    pub fn is_synced(&self, resource: &Resource) -> bool {
        self.contents(&resource.group, &resource.plural).is_some_and(|c| c.synced)
    }

    /// Whether a resource is watched.
    pub fn has(&self, resource: &Resource) -> bool {
        self.contents(&resource.group, &resource.plural).is_some()
    }

    /// Adds an object (for tests and fakes; a Cache does it by itself).
    pub fn insert(&mut self, resource: &Resource, object: Object) {
        let resource = self.insert_resource(&Arc::new(resource.clone()));
        let old = self.object(&resource, &object.key()).cloned();
        self.apply(&resource, &WatchEvent::Applied { old, new: Arc::new(object) });
    }

    /// Removes an object (for tests and fakes; a Cache does it by itself).
    pub fn remove(&mut self, resource: &Resource, key: &Key) {
        let Some(last) = self.object(resource, key).cloned() else { return };
        self.apply(&Arc::new(resource.clone()), &WatchEvent::Deleted(last));
    }

    /// Marks a resource synced up to a revision (for tests and fakes).
    pub fn sync(&mut self, resource: &Resource, revision: u64) {
        let resource = self.insert_resource(&Arc::new(resource.clone()));
        self.apply(&resource, &WatchEvent::Synced(revision));
    }

    pub(crate) fn insert_resource(&mut self, resource: &Arc<Resource>) -> Arc<Resource> {
        let key = resource_key(&resource.group, &resource.plural);
        let empty = || Contents {
            resource: resource.clone(),
            objects: OrdMap::new(),
            revision: 0,
            synced: false,
        };
        self.resources.entry(key).or_insert_with(empty).resource.clone()
    }

    /// Forgets a resource and its objects.
    pub(crate) fn remove_resource(&mut self, resource: &Resource) {
        let key = resource_key(&resource.group, &resource.plural);
        let Some(contents) = self.resources.remove(&key) else { return };
        for object in contents.objects.values() {
            self.unlink(&contents.resource, object);
        }
    }

    pub(crate) fn apply(&mut self, resource: &Arc<Resource>, event: &WatchEvent) {
        let key = resource_key(&resource.group, &resource.plural);
        match event {
            WatchEvent::Applied { new, .. } => {
                let old = self.find(&key.0, &key.1, &new.key()).cloned();
                if let Some(old) = old {
                    self.unlink(resource, &old);
                }
                self.link(resource, new);
                let Some(contents) = self.resources.get_mut(&key) else { return };
                contents.objects.insert(new.key(), new.clone());
                contents.advance(new.metadata.revision());
            }
            WatchEvent::Deleted(last) => {
                let old = self.find(&key.0, &key.1, &last.key()).cloned();
                if let Some(old) = old {
                    self.unlink(resource, &old);
                }
                let Some(contents) = self.resources.get_mut(&key) else { return };
                contents.objects.remove(&last.key());
                contents.advance(last.metadata.revision());
            }
            WatchEvent::Synced(revision) => {
                let Some(contents) = self.resources.get_mut(&key) else { return };
                contents.synced = true;
                contents.advance(*revision);
            }
        }
    }

    fn find(&self, group: &str, plural: &str, key: &Key) -> Option<&Arc<Object>> {
        self.contents(group, plural)?.objects.get(key)
    }

    fn contents(&self, group: &str, plural: &str) -> Option<&Contents> {
        self.resources.get(&resource_key(group, plural))
    }

    fn link(&mut self, resource: &Arc<Resource>, object: &Object) {
        for owner in &object.metadata.owner_references {
            let place = (resource.clone(), object.key());
            self.owned.entry(owner.uid.as_str().into()).or_default().insert(place);
        }
        if let Some(node) = object.node() {
            self.on_node.entry(node.into()).or_default().insert(object.key());
        }
    }

    fn unlink(&mut self, resource: &Arc<Resource>, object: &Object) {
        for owner in &object.metadata.owner_references {
            let uid = owner.uid.as_str();
            let Some(places) = self.owned.get_mut(uid) else { continue };
            places.remove(&(resource.clone(), object.key()));
            if places.is_empty() {
                self.owned.remove(uid);
            }
        }
        let Some(node) = object.node() else { return };
        let Some(keys) = self.on_node.get_mut(node) else { return };
        keys.remove(&object.key());
        if keys.is_empty() {
            self.on_node.remove(node);
        }
    }
}

impl Contents {
    fn advance(&mut self, revision: u64) {
        // The first list tells its objects one by one; until its end nothing is known "up to".
        if self.synced {
            self.revision = self.revision.max(revision);
        }
    }
}

fn range<'a>(
    contents: &'a Contents,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = &'a Arc<Object>> {
    let start = match namespace {
        Some(namespace) => Bound::Included(Key::new(namespace, "")),
        None => Bound::Unbounded,
    };
    contents
        .objects
        .range((start, Bound::Unbounded))
        .take_while(move |(key, _)| namespace.is_none_or(|namespace| &*key.namespace == namespace))
        .map(|(_, object)| object)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Keep, resources};

    fn pod(namespace: &str, name: &str, node: &str, owner: &str, revision: u64) -> Object {
        let json: Value = json!({"metadata": {"namespace": namespace, "name": name,
            "resourceVersion": revision.to_string(),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r",
                "uid": owner, "controller": true}]},
            "spec": {"nodeName": node, "containers": []}});
        let bytes = serde_json::to_vec(&json).unwrap();
        Object::parse(&resources::PODS, &bytes, Keep::Full, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn small_sets_become_large_and_small_again() {
        let check = |steps: &[i32], expect: &[i32], many: bool| {
            let mut set = Few::default();
            for step in steps {
                match step {
                    0.. => set.insert(*step),
                    _ => set.remove(&-step),
                }
            }
            assert!(set.iter().eq(expect), "{steps:?}");
            assert_eq!((set.is_empty(), matches!(set, Few::Many(_))), (expect.is_empty(), many));
        };
        check(&[], &[], false);
        check(&[2, 1, 2, 3], &[1, 2, 3], false);
        check(&[1, -1, -2], &[], false);
        let nine = [9, 8, 7, 6, 5, 4, 3, 2, 1];
        check(&nine, &[1, 2, 3, 4, 5, 6, 7, 8, 9], true);
        let fewer: Vec<i32> = nine.into_iter().chain([-1, -2, -3, -4, -5]).collect();
        check(&fewer, &[6, 7, 8, 9], false);
    }

    #[test]
    fn indexes_follow_changes() {
        let mut view = View::of([resources::PODS.clone()]);
        view.sync(&resources::PODS, 1);
        view.insert(&resources::PODS, pod("a", "p", "", "u", 2));
        view.insert(&resources::PODS, pod("b", "q", "n1", "u", 3));
        let before = view.clone();
        view.insert(&resources::PODS, pod("a", "p", "n1", "v", 4));
        assert_eq!(view.on_node("n1").count(), 2);
        assert_eq!(view.owned_by("u").count(), 1);
        assert_eq!(view.controlled_by(&resources::PODS, "v").count(), 1);
        assert_eq!(view.list::<Pod>(Some("a")).len(), 1);
        assert_eq!((view.list::<Pod>(None).len(), view.count(&resources::PODS)), (2, 2));
        assert!(view.get::<Pod>("b", "q").is_some() && view.get::<Pod>("b", "p").is_none());
        assert_eq!((view.revision(&resources::PODS), before.revision(&resources::PODS)), (4, 3));
        assert_eq!(before.owned_by("u").count(), 2, "a View does not change");
        let places = view.resources().next().unwrap().clone();
        view.apply(&places, &WatchEvent::Deleted(Arc::new(pod("b", "q", "n1", "u", 5))));
        assert_eq!((view.on_node("n1").count(), view.owned_by("u").count()), (1, 0));
        view.remove_resource(&resources::PODS);
        assert_eq!((view.on_node("n1").count(), view.owned_by("v").count()), (0, 0));
    }
}
