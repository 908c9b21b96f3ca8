//! Which resources are served, so that garbage collection and namespace deletion know every kind,
//! custom ones included.

use std::time::Duration;

use kd_client::{Client, Resource, Result, resources};
use serde::Deserialize;
use tokio::time::sleep;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const ATTEMPTS_MAX: u32 = 30;
const JSON: &str = "application/json";

#[derive(Deserialize)]
struct GroupList {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: Version,
    versions: Vec<Version>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    group_version: String,
    #[serde(default)]
    resources: Vec<Served>,
}

#[derive(Deserialize)]
struct Served {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// What is served.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Every resource that can be listed, watched and deleted.
    pub resources: Vec<Resource>,
    /// Groups that are listed but did not answer; nothing is known of their resources.
    pub unavailable: Vec<String>,
}

impl Discovered {
    /// Whether a resource is served.
    pub fn serves(&self, resource: &Resource) -> bool {
        self.resources.iter().any(|served| served.same(resource))
    }

    /// Takes in what is not there in a version that comes before.
    fn add(&mut self, more: Vec<Resource>) {
        for resource in more {
            if !self.serves(&resource) {
                self.resources.push(resource);
            }
        }
    }

    /// Whether a resource is certainly not served.
    pub fn lacks(&self, resource: &Resource) -> bool {
        !self.serves(resource) && !self.unavailable.iter().any(|group| *group == resource.group)
    }
}

/// Every resource that can be listed, watched and deleted, each in its group's preferred version or
/// the first that has it; without events, which nothing depends on. None when the API server does
/// not answer for long.
pub async fn deletable_resources(client: &Client) -> Option<Discovered> {
    for attempt in 0..ATTEMPTS_MAX {
        match discover(client).await {
            Ok(found) => return Some(found),
            Err(error) => tracing::debug!(%error, "discovery failed, will try again"),
        }
        sleep(BACKOFF_MIN.saturating_mul(1 << attempt.min(10)).min(BACKOFF_MAX)).await;
    }
    None
}

async fn discover(client: &Client) -> Result<Discovered> {
    let groups: GroupList = client.read("/apis", JSON).await?;
    let mut found = Discovered::default();
    found.resources.extend(deletable(client.read("/api/v1", JSON).await?));
    for group in groups.groups {
        let others = group.versions.iter().filter(|version| **version != group.preferred_version);
        for version in [&group.preferred_version].into_iter().chain(others) {
            match client.read(&format!("/apis/{}", version.group_version), JSON).await {
                Ok(list) => found.add(deletable(list)),
                // One aggregated server that is away must not hide all the others.
                Err(error) => {
                    tracing::debug!(%error, "a group is not available");
                    found.unavailable.push(group.name.clone());
                }
            }
        }
    }
    Ok(found)
}

fn deletable(list: ResourceList) -> Vec<Resource> {
    let (group, version) = match list.group_version.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), list.group_version),
    };
    let needed = ["list", "watch", "delete"];
    let all = list.resources.into_iter().filter(|served| {
        !served.name.contains('/')
            && needed.iter().all(|verb| served.verbs.iter().any(|v| v == verb))
    });
    let resources = all.map(|served| Resource {
        group: group.clone().into(),
        version: version.clone().into(),
        plural: served.name.into(),
        kind: served.kind.into(),
        namespaced: served.namespaced,
    });
    resources.filter(|r| !r.same(&resources::EVENTS) && !r.same(&resources::EVENTS_V1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_deleted() {
        let list: ResourceList = serde_json::from_value(serde_json::json!({
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": true,
                "verbs": ["delete", "list", "watch"]},
            {"name": "pods/log", "kind": "Pod", "namespaced": true, "verbs": ["get"]},
            {"name": "bindings", "kind": "Binding", "namespaced": true, "verbs": ["create"]},
            {"name": "events", "kind": "Event", "namespaced": true,
                "verbs": ["delete", "list", "watch"]},
        ]}))
        .unwrap();
        assert_eq!(deletable(list), vec![resources::PODS.clone()]);
    }

    #[test]
    fn a_resource_is_taken_in_one_version() {
        let list = |version: &str, names: &[&str]| {
            let row = |name: &&str| {
                serde_json::json!({"name": name, "kind": name, "namespaced": true,
                    "verbs": ["delete", "list", "watch"]})
            };
            let rows: Vec<_> = names.iter().map(row).collect();
            let list = serde_json::json!({"groupVersion": version, "resources": rows});
            deletable(serde_json::from_value(list).unwrap())
        };
        let mut found = Discovered::default();
        found.add(list("example.com/v1", &["a"]));
        found.add(list("example.com/v1beta1", &["a", "b"]));
        let rows = found.resources.iter().map(|r| format!("{} {}", r.version, r.plural));
        assert_eq!(rows.collect::<Vec<_>>(), ["v1 a", "v1beta1 b"]);
    }
}
