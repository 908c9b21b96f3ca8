//! Tells the API server a pod's status: the newest only, at once, until it is heard; then, when the
//! pod is over, deletes it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::error::api_code;
use crate::lifecycle::status::is_owned_condition;
use crate::pod::PodExt;
use crate::static_pods::Mirror;

/// What the server is to know.
#[derive(Clone, Debug, Default)]
struct Wanted {
    status: Option<PodStatus>,
    /// Of a static pod: what stands for it at the server.
    mirror: Option<Mirror>,
    /// The pod may go.
    delete: bool,
}

/// Sends the status of one pod.
pub struct StatusSender {
    wanted: watch::Sender<Wanted>,
}

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

impl StatusSender {
    /// Starts sending for a pod. Ends when dropped.
    pub fn start(client: kube::Client, pod: &Pod, is_static: bool) -> StatusSender {
        let (wanted, heard) = watch::channel(Wanted::default());
        let task = SendTask {
            api: Api::namespaced(client, pod.namespace()),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            known: PodExt::status(pod).clone(),
            is_static,
        };
        tokio::spawn(task.run(heard));
        StatusSender { wanted }
    }

    /// The status from now on; that of a static pod is its mirror's.
    pub fn send(&self, status: PodStatus, mirror: Option<Mirror>) {
        let uid = |mirror: &Option<Mirror>| mirror.as_ref().map(|mirror| mirror.uid.clone());
        self.wanted.send_if_modified(|wanted| {
            let differs =
                wanted.status.as_ref() != Some(&status) || uid(&wanted.mirror) != uid(&mirror);
            wanted.status = Some(status);
            wanted.mirror = mirror;
            differs
        });
    }

    /// Deletes the pod once its last status is told.
    pub fn delete(&self) {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(&mut wanted.delete, true));
    }
}

struct SendTask {
    api: Api<Pod>,
    name: String,
    uid: String,
    /// What the server knows.
    known: PodStatus,
    is_static: bool,
}

/// What became of a request.
enum Sent {
    Done,
    Retry,
    /// The pod is gone, or another one has its name.
    Gone,
}

impl SendTask {
    async fn run(mut self, mut heard: watch::Receiver<Wanted>) {
        let mut delay = RETRY_MIN;
        while heard.changed().await.is_ok() {
            loop {
                let wanted = heard.borrow_and_update().clone();
                let sent = self.send(&wanted).await;
                match sent {
                    Sent::Done => {
                        delay = RETRY_MIN;
                        break;
                    }
                    // A static pod gets another mirror.
                    Sent::Gone if self.is_static => break,
                    Sent::Gone => return,
                    Sent::Retry => {
                        tokio::time::sleep(delay).await;
                        delay = (delay * 2).min(RETRY_MAX);
                        if heard.has_changed().is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }

    async fn send(&mut self, wanted: &Wanted) -> Sent {
        if self.is_static {
            let Some(mirror) = &wanted.mirror else { return Sent::Done };
            if self.uid != mirror.uid {
                self.uid.clone_from(&mirror.uid);
                self.known.clone_from(&mirror.status);
            }
        }
        if let Some(status) = &wanted.status
            && let Some(patch) = status_patch(&self.uid, &self.known, status)
        {
            let (parameters, patch) = (PatchParams::default(), Patch::Strategic(patch));
            match self.api.patch_status(&self.name, &parameters, &patch).await {
                Ok(pod) => self.known = pod.status.unwrap_or_default(),
                Err(error) => return self.failed(&error, "status"),
            }
        }
        if wanted.delete { self.delete().await } else { Sent::Done }
    }

    async fn delete(&self) -> Sent {
        let preconditions = Preconditions { uid: Some(self.uid.clone()), resource_version: None };
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.api.delete(&self.name, &parameters).await {
            Ok(_) => Sent::Done,
            Err(error) => self.failed(&error, "deletion"),
        }
    }

    fn failed(&self, error: &kube::Error, what: &str) -> Sent {
        match api_code(error) {
            Some(404 | 409) => Sent::Gone,
            // Trying the same again will not help; the next status may.
            Some(400 | 415 | 422) => {
                tracing::warn!(pod = self.name, %error, "the server refused a pod's {what}");
                Sent::Done
            }
            _ => {
                tracing::debug!(pod = self.name, %error, "a pod's {what} could not be sent");
                Sent::Retry
            }
        }
    }
}

/// The strategic merge patch from one status to another; `None` when nothing changed. Conditions
/// that are not the kubelet's are left alone.
pub fn status_patch(uid: &str, known: &PodStatus, wanted: &PodStatus) -> Option<Value> {
    let (known, wanted) = (object(known), object(wanted));
    let mut changes = Map::new();
    for (key, value) in &wanted {
        let before = known.get(key);
        if before == Some(value) {
            continue;
        }
        match key.as_str() {
            "conditions" => add_conditions(&mut changes, before, value),
            // Lists that the server merges by address: the old ones go.
            "podIPs" | "hostIPs" if before.is_some() => {
                let mut list = vec![json!({"$patch": "replace"})];
                list.extend(value.as_array().into_iter().flatten().cloned());
                changes.insert(key.clone(), Value::Array(list));
            }
            _ => drop(changes.insert(key.clone(), value.clone())),
        }
    }
    for key in known.keys().filter(|key| !wanted.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    (!changes.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changes}))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn add_conditions(changes: &mut Map<String, Value>, before: Option<&Value>, value: &Value) {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let before = before.map(list).unwrap_or_default();
    let all = list(value);
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    let owned = |c: &&Value| is_owned_condition(&text(c, "type"), &text(c, "reason"));
    let changed = all.iter().filter(owned).filter(|c| !before.contains(c));
    let mut changed: Vec<Value> = changed.map(|c| replacing(&before, c)).collect();
    let gone = |c: &&Value| !all.iter().any(|known| known["type"] == c["type"]);
    let gone = before.iter().filter(owned).filter(gone);
    changed.extend(gone.map(|c| json!({"type": c["type"], "$patch": "delete"})));
    if changed.is_empty() {
        return;
    }
    let order: Vec<Value> = all.iter().map(|c| json!({"type": c["type"]})).collect();
    changes.insert("$setElementOrder/conditions".into(), Value::Array(order));
    changes.insert("conditions".into(), Value::Array(changed));
}

/// A condition as it is merged over the one of its type: fields that it lacks are named as gone.
fn replacing(before: &[Value], condition: &Value) -> Value {
    let mut merged = condition.clone();
    let old = before.iter().find(|c| c["type"] == condition["type"]).and_then(Value::as_object);
    if let Some(fields) = merged.as_object_mut() {
        for key in old.into_iter().flat_map(Map::keys) {
            fields.entry(key).or_insert(Value::Null);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: Value, wanted: Value, expect: Value) {
        let status = |v: Value| serde_json::from_value::<PodStatus>(v).unwrap();
        let patch = status_patch("u", &status(known), &status(wanted));
        assert_eq!(patch.map_or(Value::Null, |p| p["status"].clone()), expect);
    }

    #[test]
    fn patches() {
        check(json!({"phase": "Running"}), json!({"phase": "Running"}), Value::Null);
        check(
            json!({"phase": "Pending", "reason": "x"}),
            json!({"phase": "Running"}),
            json!({"phase": "Running", "reason": null}),
        );
        check(json!({}), json!({"podIPs": [{"ip": "1"}]}), json!({"podIPs": [{"ip": "1"}]}));
        check(
            json!({"podIPs": [{"ip": "1"}]}),
            json!({"podIPs": [{"ip": "2"}]}),
            json!({"podIPs": [{"$patch": "replace"}, {"ip": "2"}]}),
        );
        check(
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            json!({"$setElementOrder/conditions": [{"type": "Ready"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}]}),
        );
        check(
            json!({"conditions": [{"type": "PodResizePending", "status": "True"}]}),
            json!({"conditions": []}),
            json!({"$setElementOrder/conditions": [],
                "conditions": [{"type": "PodResizePending", "$patch": "delete"}]}),
        );
        let condition = |name: &str, status: &str| json!({"type": name, "status": status});
        check(
            json!({"conditions": [condition("PodScheduled", "True"), condition("mine", "True")]}),
            json!({"conditions": [condition("mine", "True"), condition("Ready", "True"),
                condition("PodScheduled", "True")]}),
            json!({"$setElementOrder/conditions":
                    [{"type": "mine"}, {"type": "Ready"}, {"type": "PodScheduled"}],
                "conditions": [condition("Ready", "True")]}),
        );
    }
}
