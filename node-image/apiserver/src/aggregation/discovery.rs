//! Discovery of what is answered here and elsewhere, in one.

use std::cmp::Reverse;
use std::sync::Arc;

use kd_api::discovery::{self, AggregatedVersion};
use kd_api::kind::compare_versions;
use kd_api::{Kinds, Object};
use serde_json::{Map, Value, json};

use super::priority::local;
use super::{Remote, Remotes};

/// A group with its versions, the preferred one first.
struct Group {
    name: String,
    priority: i64,
    versions: Vec<Version>,
}

struct Version {
    name: String,
    priority: i64,
    /// Who answers, if it is not this server.
    remote: Option<Arc<Remote>>,
}

/// All groups but the core one, in the order in which they are listed.
fn groups(kinds: &Kinds, remotes: &Remotes) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for known in kinds.groups().iter().filter(|group| !group.name.is_empty()) {
        let version = |name: &String| Version {
            name: name.clone(),
            priority: local(&known.name, name).0.version,
            remote: None,
        };
        let priority = known.versions.first().map_or(0, |first| local(&known.name, first).0.group);
        let versions = known.versions.iter().map(version).collect();
        groups.push(Group { name: known.name.clone(), priority, versions });
    }
    for remote in remotes.values().filter(|remote| !remote.group.is_empty()) {
        let version = Version {
            name: remote.version.clone(),
            priority: remote.version_priority,
            remote: Some(remote.clone()),
        };
        match groups.iter_mut().find(|group| group.name == remote.group) {
            Some(group) => {
                group.priority = group.priority.max(remote.group_priority);
                group.versions.retain(|known| known.name != version.name);
                group.versions.push(version);
            }
            None => groups.push(Group {
                name: remote.group.clone(),
                priority: remote.group_priority,
                versions: vec![version],
            }),
        }
    }
    for group in &mut groups {
        group.versions.sort_by(|a, b| {
            b.priority.cmp(&a.priority).then_with(|| compare_versions(&a.name, &b.name))
        });
    }
    groups.sort_by(|a, b| {
        let key = |group: &Group| Reverse(group.priority);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    groups
}

/// `/apis`.
pub(crate) fn group_list(kinds: &Kinds, remotes: &Remotes) -> Value {
    let groups: Vec<Value> =
        groups(kinds, remotes).iter().map(|group| Value::Object(fields(group))).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(crate) fn group(kinds: &Kinds, remotes: &Remotes, name: &str) -> Option<Value> {
    let groups = groups(kinds, remotes);
    let mut document = fields(groups.iter().find(|group| group.name == name)?);
    document.insert("kind".into(), "APIGroup".into());
    document.insert("apiVersion".into(), "v1".into());
    Some(document.into())
}

fn fields(group: &Group) -> Map<String, Value> {
    let entry = |version: &Version| {
        let both = format!("{}/{}", group.name, version.name);
        json!({"groupVersion": both, "version": version.name})
    };
    let mut fields = Map::new();
    fields.insert("name".into(), group.name.as_str().into());
    fields.insert("versions".into(), group.versions.iter().map(entry).collect());
    fields.insert("preferredVersion".into(), group.versions.first().map(entry).into());
    fields
}

/// Everything under `/apis` in one document.
pub(crate) fn aggregated(kinds: &Kinds, remotes: &Remotes, form: AggregatedVersion) -> Value {
    let mut document = discovery::aggregated(kinds, false, form);
    let known = document["items"].take();
    let own = |group: &Group, version: &Version| -> Option<Value> {
        let mut items = known.as_array()?.iter();
        let item = items.find(|item| item["metadata"]["name"] == *group.name)?;
        let mut versions = item["versions"].as_array()?.iter();
        versions.find(|known| known["version"] == *version.name).cloned()
    };
    let version = |group: &Group, version: &Version| match &version.remote {
        Some(remote) => foreign(remote),
        None => own(group, version).unwrap_or_default(),
    };
    let items = groups(kinds, remotes);
    let items = items.iter().map(|group| {
        let versions: Vec<Value> = group.versions.iter().map(|v| version(group, v)).collect();
        json!({"metadata": {"name": group.name, "creationTimestamp": null}, "versions": versions})
    });
    document["items"] = items.collect();
    document
}

fn foreign(remote: &Remote) -> Value {
    let documents = remote.documents();
    let freshness = if remote.is_available() { "Current" } else { "Stale" };
    json!({
        "version": remote.version,
        "resources": resources(&documents.resources, remote),
        "freshness": freshness,
    })
}

/// From a list of resources and subresources to resources that hold theirs.
fn resources(list: &Value, remote: &Remote) -> Vec<Value> {
    let rows = list.list_at(&["resources"]);
    let main = rows.iter().filter(|row| !row.str_at(&["name"]).contains('/'));
    let resource = |row: &Value| {
        let name = row.str_at(&["name"]);
        let scope = if row.bool_at(&["namespaced"]) { "Namespaced" } else { "Cluster" };
        let mut resource = json!({"resource": name, "responseKind": response_kind(row, remote),
            "scope": scope, "singularResource": row["singularName"], "verbs": row["verbs"]});
        for field in ["shortNames", "categories"] {
            if let Some(names) = row.get(field) {
                resource[field] = names.clone();
            }
        }
        let subresources = rows.iter().filter_map(|row| {
            let (parent, subresource) = row.str_at(&["name"]).split_once('/')?;
            (parent == name).then(|| {
                json!({"subresource": subresource,
                "responseKind": response_kind(row, remote), "verbs": row["verbs"]})
            })
        });
        let subresources: Vec<Value> = subresources.collect();
        if !subresources.is_empty() {
            resource["subresources"] = subresources.into();
        }
        resource
    };
    main.map(resource).collect()
}

fn response_kind(row: &Value, remote: &Remote) -> Value {
    let or = |field: &str, default: &str| match row.str_at(&[field]) {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    json!({"group": or("group", &remote.group), "version": or("version", &remote.version),
        "kind": row["kind"]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::remote::Documents;
    use crate::request::Reader;
    use crate::testing::FakeReader;

    /// Two versions of wardles, and one of a group that is known here.
    fn remotes() -> Remotes {
        let reader: Arc<dyn Reader> = FakeReader::with([]);
        let remote = |group: &str, version: &str, priorities: (i64, i64)| {
            let service = json!({"metadata": {"name": format!("{version}.{group}")}, "spec": {
                "group": group, "version": version, "groupPriorityMinimum": priorities.0,
                "versionPriority": priorities.1, "service": {"namespace": "n", "name": "s"}},
                "status": {"conditions": [{"type": "Available", "status": "True"}]}});
            let remote = Remote::new(&service, None, &reader);
            remote.set_documents(Documents {
                resources: Arc::new(json!({"resources": [
                    {"name": "flunders", "singularName": "flunder", "namespaced": true,
                        "kind": "Flunder", "verbs": ["get"], "shortNames": ["fl"]},
                    {"name": "flunders/status", "singularName": "", "namespaced": true,
                        "kind": "Flunder", "verbs": ["update"]}]})),
                openapi_hash: "H".into(),
                openapi_v2: Arc::default(),
            });
            (Remote::key_of(&service), Arc::new(remote))
        };
        Remotes::from([
            remote("wardle.example.com", "v1alpha1", (1000, 15)),
            remote("wardle.example.com", "v1beta1", (2000, 20)),
            remote("apps", "v1beta9", (100, 100)),
        ])
    }

    #[test]
    fn groups_are_merged() {
        let (kinds, remotes) = (Kinds::built_in(), remotes());
        let wardle = group(&kinds, &remotes, "wardle.example.com").unwrap();
        assert_eq!(wardle["preferredVersion"]["groupVersion"], "wardle.example.com/v1beta1");
        let apps = group(&kinds, &remotes, "apps").unwrap();
        assert_eq!(apps["versions"][0]["version"], "v1beta9");
        assert_eq!(apps["versions"][1]["version"], "v1");
        assert_eq!(group(&kinds, &remotes, "nope"), None);
        let list = group_list(&kinds, &remotes);
        let names: Vec<_> =
            list["groups"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
        let place = |name: &str| names.iter().position(|known| *known == name);
        assert!(place("coordination.k8s.io") < place("wardle.example.com"));
        assert!(place("wardle.example.com").is_some());
        assert_eq!(group_list(&kinds, &Remotes::new()), discovery::group_list(&kinds));
    }

    #[test]
    fn documents_are_merged() {
        let (kinds, remotes) = (Kinds::built_in(), remotes());
        let document = aggregated(&kinds, &remotes, AggregatedVersion::V2);
        let items = document["items"].as_array().unwrap();
        let wardle = items.iter().find(|item| item["metadata"]["name"] == "wardle.example.com");
        let version = &wardle.unwrap()["versions"][0];
        let kind = json!({"group": "wardle.example.com", "version": "v1beta1", "kind": "Flunder"});
        let expect = json!({"version": "v1beta1", "freshness": "Current", "resources": [{
            "resource": "flunders", "responseKind": kind, "scope": "Namespaced",
            "singularResource": "flunder", "verbs": ["get"], "shortNames": ["fl"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["update"]}]}]});
        assert_eq!(version, &expect);
        let plain = aggregated(&kinds, &Remotes::new(), AggregatedVersion::V2);
        assert_eq!(plain, discovery::aggregated(&kinds, false, AggregatedVersion::V2));
    }
}
