//! A store of objects in a map, for unit tests of what reads through [`Reader`].

pub(crate) mod authority;
pub(crate) mod server;
pub(crate) mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kd_api::Object;
use serde_json::Value;
use tokio::sync::watch;

use crate::request::{Reader, RequestInfo, UserInfo};

/// group, resource, namespace, name.
type Key = (String, String, String, String);

#[derive(Default)]
pub(crate) struct FakeReader {
    objects: Mutex<BTreeMap<Key, Arc<Value>>>,
    revision: watch::Sender<u64>,
}

impl FakeReader {
    pub(crate) fn with(objects: impl IntoIterator<Item = Value>) -> Arc<FakeReader> {
        let reader = FakeReader::default();
        for object in objects {
            reader.put(object);
        }
        Arc::new(reader)
    }

    /// Stores an object under the regular plural of its kind, with a new resourceVersion.
    pub(crate) fn put(&self, mut object: Value) {
        let revision = *self.revision.borrow() + 1;
        object.set_resource_version(&revision.to_string());
        let group = match object.api_version().split_once('/') {
            Some((group, _)) => group.to_owned(),
            None => String::new(),
        };
        let kind = object.kind().to_lowercase();
        let plural = match kind.strip_suffix('s') {
            Some(_) => format!("{kind}es"),
            None => format!("{kind}s"),
        };
        let key = (group, plural, object.namespace().to_owned(), object.name().to_owned());
        self.objects.lock().unwrap().insert(key, Arc::new(object));
        self.revision.send_modify(|revision| *revision += 1);
    }
}

impl Reader for FakeReader {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (group.into(), resource.into(), namespace.into(), name.into());
        self.objects.lock().unwrap().get(&key).cloned()
    }

    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let objects = self.objects.lock().unwrap();
        let matches = objects.iter().filter(|((g, r, n, _), _)| {
            g == group && r == resource && namespace.is_none_or(|wanted| wanted == n)
        });
        matches.map(|(_, object)| object.clone()).collect()
    }

    fn generation(&self, _group: &str, _resource: &str) -> u64 {
        *self.revision.borrow()
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

pub(crate) fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo {
        username: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..UserInfo::default()
    }
}

/// `resource` may be `pods` or `pods/log`, with a group before it: `apps:deployments`.
pub(crate) fn resource_info(
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> RequestInfo {
    let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    RequestInfo {
        is_resource: true,
        verb: verb.into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..RequestInfo::default()
    }
}

/// Admission attributes of a request.
pub(crate) fn attributes<'a>(
    operation: crate::request::Operation,
    info: &'a RequestInfo,
    user: &'a UserInfo,
    object: Value,
) -> crate::request::AdmissionAttributes<'a> {
    crate::request::AdmissionAttributes {
        operation,
        info,
        kind: (&info.group, &info.version, ""),
        user,
        object,
        old: None,
        options: Value::Null,
        dry_run: false,
        warnings: Mutex::default(),
        audit_annotations: Mutex::default(),
        reinvocation: Default::default(),
    }
}
