//! Discovery documents, as functions of the kinds that are served: which groups, versions, resources
//! and verbs there are, in the plain form and in the aggregated one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::kind::Group;
use crate::{Kind, Kinds, Subresource};

/// `/api`. `server_addresses` are pairs of client network and server address.
pub fn core_versions(kinds: &Kinds, server_addresses: &[(&str, &str)]) -> Value {
    let core = kinds.groups().iter().find(|group| group.name.is_empty());
    let addresses: Vec<Value> = server_addresses
        .iter()
        .map(|(network, address)| json!({"clientCIDR": network, "serverAddress": address}))
        .collect();
    json!({
        "kind": "APIVersions",
        "versions": core.map_or(&[][..], |group| &group.versions),
        "serverAddressByClientCIDRs": addresses,
    })
}

/// `/apis`.
pub fn group_list(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = named_groups(kinds).map(|g| Value::Object(group_fields(g))).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let group = named_groups(kinds).find(|group| group.name == name)?;
    let mut document = group_fields(group);
    document.insert("kind".into(), "APIGroup".into());
    document.insert("apiVersion".into(), "v1".into());
    Some(document.into())
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds.kinds_of(group, version) {
        resources.push(resource(kinds, kind));
        resources.extend(kind.subresources.iter().map(|sub| subresource(kind, sub)));
    }
    if resources.is_empty() {
        return None;
    }
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": group_version(group, version),
        "resources": resources,
    });
    // The oldest document of all has none.
    if !group.is_empty() {
        document["apiVersion"] = "v1".into();
    }
    Some(document)
}

/// The aggregated forms that clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregatedVersion {
    /// `apidiscovery.k8s.io/v2`
    V2,
    /// `apidiscovery.k8s.io/v2beta1`
    V2Beta1,
}

impl AggregatedVersion {
    /// The document's `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            AggregatedVersion::V2 => "apidiscovery.k8s.io/v2",
            AggregatedVersion::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }
}

/// Everything under `/api` (`core`) or under `/apis` in one document.
pub fn aggregated(kinds: &Kinds, core: bool, form: AggregatedVersion) -> Value {
    let groups = kinds.groups().iter().filter(|group| group.name.is_empty() == core);
    let items: Vec<Value> = groups.map(|group| aggregated_group(kinds, group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": form.api_version(),
        "metadata": {},
        "items": items,
    })
}

fn named_groups(kinds: &Kinds) -> impl Iterator<Item = &Group> {
    kinds.groups().iter().filter(|group| !group.name.is_empty())
}

fn group_fields(group: &Group) -> Map<String, Value> {
    let entry = |version: &String| json!({"groupVersion": group_version(&group.name, version), "version": version});
    let mut fields = Map::new();
    fields.insert("name".into(), group.name.as_str().into());
    fields.insert("versions".into(), group.versions.iter().map(entry).collect());
    fields.insert("preferredVersion".into(), group.versions.first().map(entry).into());
    fields
}

fn resource(kinds: &Kinds, kind: &std::sync::Arc<Kind>) -> Value {
    let mut row = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced(),
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    put_names(&mut row, kind);
    if kind.has_verb("watch") {
        row["storageVersionHash"] = storage_version_hash(kinds.stored_form(kind)).into();
    }
    row
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let mut row = json!({
        "name": format!("{}/{}", kind.plural, sub.name),
        "singularName": "",
        "namespaced": kind.namespaced(),
        "kind": sub.body.2,
        "verbs": sub.verbs,
    });
    if is_foreign(kind, sub) {
        row["group"] = sub.body.0.as_str().into();
        row["version"] = sub.body.1.as_str().into();
    }
    row
}

fn put_names(row: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        row["shortNames"] = kind.short_names.as_slice().into();
    }
    if !kind.categories.is_empty() {
        row["categories"] = kind.categories.as_slice().into();
    }
}

/// Whether the body is of another group or version than its parent.
fn is_foreign(kind: &Kind, sub: &Subresource) -> bool {
    (&sub.body.0, &sub.body.1) != (&kind.group, &kind.version)
}

fn aggregated_group(kinds: &Kinds, group: &Group) -> Value {
    let version = |version: &String| {
        let resources = kinds.kinds_of(&group.name, version).map(|kind| aggregated_resource(kind));
        json!({
            "version": version,
            "resources": resources.collect::<Vec<_>>(),
            "freshness": "Current",
        })
    };
    json!({
        "metadata": {"name": group.name, "creationTimestamp": null},
        "versions": group.versions.iter().map(version).collect::<Vec<_>>(),
    })
}

/// The group and version in which a kind's own bodies are: upstream says so for custom ones only.
fn own_group_version(kind: &Kind) -> (&str, &str) {
    match kind.custom {
        Some(_) => (&kind.group, &kind.version),
        None => ("", ""),
    }
}

fn aggregated_resource(kind: &Kind) -> Value {
    let own = own_group_version(kind);
    let mut row = json!({
        "resource": kind.plural,
        "responseKind": {"group": own.0, "version": own.1, "kind": kind.kind},
        "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    put_names(&mut row, kind);
    if !kind.subresources.is_empty() {
        let rows = kind.subresources.iter().map(|sub| aggregated_subresource(kind, sub));
        row["subresources"] = rows.collect();
    }
    row
}

fn aggregated_subresource(kind: &Kind, sub: &Subresource) -> Value {
    let (group, version, body) = &sub.body;
    let (group, version) = if is_foreign(kind, sub) {
        (group.as_str(), version.as_str())
    } else {
        own_group_version(kind)
    };
    json!({
        "subresource": sub.name,
        "responseKind": {"group": group, "version": version, "kind": body},
        "verbs": sub.verbs,
    })
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Bytes of the digest that the hash shows.
const HASH_LEN: usize = 8;

/// Tells clients when a stored form changes.
fn storage_version_hash(stored: &Kind) -> String {
    let version = stored.custom.as_ref().map_or(&stored.version, |custom| &custom.storage_version);
    let name = format!("{}/{version}/{}", stored.group, stored.kind);
    STANDARD.encode(&Sha256::digest(name)[..HASH_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(list: &'a Value, name: &str) -> &'a Value {
        let rows = list["resources"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()
    }

    #[test]
    fn core_resources() {
        let list = resource_list(&Kinds::known(), "", "v1").unwrap();
        assert_eq!(list.get("apiVersion"), None);
        let expected = json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod",
            "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        });
        assert_eq!(row(&list, "pods"), &expected);
        let expected = json!({"name": "pods/eviction", "singularName": "", "namespaced": true,
            "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]});
        assert_eq!(row(&list, "pods/eviction"), &expected);
        assert_eq!(row(&list, "endpoints")["singularName"], "endpoints");
        let names: Vec<_> =
            list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str()).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn storage_version_hashes() {
        let kinds = Kinds::known();
        for (group, version, plural, hash) in [
            ("", "v1", "configmaps", "qFsyl6wFWjQ="),
            ("", "v1", "namespaces", "Q3oi5N2YM8M="),
            ("", "v1", "services", "0/CO1lhkEBI="),
            ("events.k8s.io", "v1", "events", "r2yiGXH7wu8="),
        ] {
            let list = resource_list(&kinds, group, version).unwrap();
            assert_eq!(row(&list, plural)["storageVersionHash"], hash, "{plural}");
        }
    }

    #[test]
    fn groups() {
        let kinds = Kinds::built_in();
        let list = group_list(&kinds);
        assert_eq!(list["groups"][1]["name"], "apps");
        let expected = json!({"kind": "APIGroup", "apiVersion": "v1", "name": "apps",
            "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}});
        assert_eq!(group(&kinds, "apps"), Some(expected));
        assert_eq!(group(&kinds, "nope"), None);
        assert_eq!(resource_list(&kinds, "apps", "v2"), None);
        let core = core_versions(&kinds, &[("0.0.0.0/0", "10.0.0.1:6443")]);
        assert_eq!(core["versions"], json!(["v1"]));
    }

    #[test]
    fn aggregated_documents() {
        let kinds = Kinds::built_in();
        let named = aggregated(&kinds, false, AggregatedVersion::V2);
        assert_eq!(named["apiVersion"], "apidiscovery.k8s.io/v2");
        let apps = &named["items"][1];
        assert_eq!(apps["metadata"]["name"], "apps");
        let resources = apps["versions"][0]["resources"].as_array().unwrap();
        let deployments = resources.iter().find(|r| r["resource"] == "deployments").unwrap();
        let scale = json!({"subresource": "scale", "verbs": ["get", "patch", "update"],
            "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}});
        assert_eq!(deployments["subresources"][0], scale);
        let core = aggregated(&kinds, true, AggregatedVersion::V2Beta1);
        assert_eq!(core["items"].as_array().unwrap().len(), 1);
    }
}
