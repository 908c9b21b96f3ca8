//! Conversion of custom resources by a webhook, between the version that is stored and the one that
//! is asked for. Without a webhook another `apiVersion` is all, and the storage sees to that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kd_api::custom::{CustomKind, stored_api_version};
use kd_api::{Kind, Object, Status};
use kd_store::Entry;
use serde_json::{Value, json};

use crate::config::Random;
use crate::pipeline::uuid;
use crate::server::ApiServer;
use crate::storage::{encode, encode_as};
use crate::webhook::WebhookClients;

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Objects in one call.
const OBJECTS_MAX: usize = 500;

/// An entry with the bytes of the version that the kind is of.
pub(crate) async fn present(
    server: &ApiServer,
    kind: &Arc<Kind>,
    entry: Entry,
) -> Result<Entry, Status> {
    let mut all = present_all(server, kind, vec![entry]).await?;
    all.pop().ok_or_else(|| Status::internal("an entry was lost"))
}

/// Likewise, of several entries.
pub(crate) async fn present_all(
    server: &ApiServer,
    kind: &Arc<Kind>,
    mut entries: Vec<Entry>,
) -> Result<Vec<Entry>, Status> {
    let Some((custom, webhook)) = webhook_of(kind) else { return Ok(entries) };
    let wanted = kind.api_version();
    let mut foreign = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let object: Value = serde_json::from_slice(&entry.value).map_err(Status::internal)?;
        if object.api_version() != wanted {
            foreign.push((index, object));
        }
    }
    for chunk in foreign.chunks(OBJECTS_MAX) {
        let objects: Vec<Value> = chunk.iter().map(|(_, object)| object.clone()).collect();
        let converted =
            convert((&server.webhooks, &server.random), kind, webhook, objects, &wanted).await?;
        for ((index, _), object) in chunk.iter().zip(converted) {
            entries[*index].value = encode(&custom.read(object, &wanted));
        }
    }
    Ok(entries)
}

/// The bytes to store for an object of a kind.
pub(crate) async fn stored(
    server: &ApiServer,
    kind: &Arc<Kind>,
    object: &Value,
) -> Result<Bytes, Status> {
    let Some((custom, webhook)) = webhook_of(kind) else {
        return Ok(server.objects.encode(kind, object));
    };
    let wanted = stored_api_version(kind, custom);
    if object.api_version() == wanted {
        return Ok(encode(object));
    }
    let converted =
        convert((&server.webhooks, &server.random), kind, webhook, vec![object.clone()], &wanted)
            .await?;
    Ok(converted.first().map(|object| encode_as(object, &wanted)).unwrap_or_default())
}

/// Whether objects of a kind are converted by a webhook.
pub(crate) fn is_converted(kind: &Kind) -> bool {
    webhook_of(kind).is_some()
}

fn webhook_of(kind: &Kind) -> Option<(&Arc<CustomKind>, &Value)> {
    let custom = kind.custom.as_ref()?;
    Some((custom, custom.conversion_webhook.as_ref()?))
}

/// An object of a custom kind in the version of `kind`.
pub(crate) async fn in_version(
    clients: &WebhookClients,
    random: &Random,
    kind: &Arc<Kind>,
    object: Value,
) -> Result<Value, Status> {
    let wanted = kind.api_version();
    let Some((custom, webhook)) = webhook_of(kind).filter(|_| object.api_version() != wanted)
    else {
        return Ok(object);
    };
    let mut converted = convert((clients, random), kind, webhook, vec![object], &wanted).await?;
    let converted = converted.pop().ok_or_else(|| Status::internal("an object was lost"))?;
    Ok(custom.read(converted, &wanted))
}

async fn convert(
    (clients, random): (&WebhookClients, &Random),
    kind: &Kind,
    webhook: &Value,
    objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, Status> {
    let uid = uuid(random());
    let from = objects.first().map(|object| object.api_version().to_owned()).unwrap_or_default();
    let failed = |why: String| {
        let subject = format!("{from}, Kind={}", kind.kind);
        Status::internal(format!("conversion webhook for {subject} {why}"))
    };
    let versions = webhook["conversionReviewVersions"].as_array().into_iter().flatten();
    let spoken = versions.filter_map(Value::as_str).find(|v| matches!(*v, "v1" | "v1beta1"));
    let version =
        spoken.ok_or_else(|| Status::internal("no supported conversion review versions"))?;
    let review = json!({
        "kind": "ConversionReview",
        "apiVersion": format!("apiextensions.k8s.io/{version}"),
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    });
    let answer = clients.post(&webhook["clientConfig"], &review, TIMEOUT).await;
    let answer = answer.map_err(|error| failed(format!("failed: {error}")))?;
    let converted =
        converted(&answer, version, &uid).map_err(|why| failed(format!("failed: {why}")))?;
    if converted.len() != objects.len() {
        let (got, expected) = (converted.len(), objects.len());
        return Err(failed(format!("returned {got} objects, expected {expected}")));
    }
    let pairs = objects.iter().zip(converted).enumerate();
    let checked = pairs.map(|(index, (original, converted))| {
        checked(original, converted, wanted).map_err(|why| {
            failed(format!("returned invalid converted object at index {index}: {why}"))
        })
    });
    checked.collect()
}

/// The objects of a review that succeeded.
fn converted(answer: &Value, version: &str, uid: &str) -> Result<Vec<Value>, String> {
    let response = &answer["response"];
    if version == "v1" {
        let expected = "apiextensions.k8s.io/v1, Kind=ConversionReview";
        let got = format!("{}, Kind={}", answer.api_version(), answer.kind());
        if got != expected {
            return Err(format!("expected webhook response of {expected}, got {got}"));
        }
    }
    if !response.is_object() {
        return Err("no response provided".into());
    }
    let answered = response.str_at(&["uid"]);
    if version == "v1" && answered != uid {
        return Err(format!("expected response.uid={uid:?}, got {answered:?}"));
    }
    match response.str_at(&["result", "status"]) {
        "Success" => Ok(response.list_at(&["convertedObjects"]).to_vec()),
        status => Err(match response.str_at(&["result", "message"]) {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        }),
    }
}

/// A converted object: it must be the same one, and of its metadata only labels and annotations may
/// be others.
fn checked(original: &Value, mut converted: Value, wanted: &str) -> Result<Value, String> {
    let versions = (wanted, converted.api_version());
    if versions.0 != versions.1 {
        return Err(format!(
            "invalid groupVersion (expected {}, received {})",
            versions.0, versions.1
        ));
    }
    if original.kind() != converted.kind() {
        let (expected, received) = (original.kind(), converted.kind());
        return Err(format!("invalid kind (expected {expected}, received {received})"));
    }
    for (what, old, new) in [
        ("name", original.name(), converted.name()),
        ("namespace", original.namespace(), converted.namespace()),
        ("UID", original.uid(), converted.uid()),
    ] {
        if old != new {
            return Err(format!("must have the same {what}: {old} != {new}"));
        }
    }
    if !converted["metadata"].is_object() {
        return Err("missing metadata in converted object".into());
    }
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        match &converted["metadata"][field] {
            Value::Null => drop(metadata.as_object_mut().and_then(|map| map.remove(field))),
            Value::Object(entries) => {
                if let Some((key, _)) = entries.iter().find(|(_, value)| !value.is_string()) {
                    return Err(format!("metadata.{field}[{key}] must be a string"));
                }
                metadata[field] = entries.clone().into();
            }
            _ => return Err(format!("invalid metadata.{field} in converted object")),
        }
    }
    converted["metadata"] = metadata;
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |answer: Value, want: Result<usize, &str>| {
            let got = converted(&answer, "v1", "u").map(|objects| objects.len());
            assert_eq!(got, want.map_err(str::to_owned));
        };
        let of = |response: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response});
        check(
            of(json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [{}]})),
            Ok(1),
        );
        check(
            of(json!({"uid": "x", "result": {"status": "Success"}})),
            Err("expected response.uid=\"u\", got \"x\""),
        );
        check(of(json!({"uid": "u", "result": {"status": "Failed", "message": "no"}})), Err("no"));
        check(of(Value::Null), Err("no response provided"));
        check(
            json!({}),
            Err(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind=",
            ),
        );
    }

    #[test]
    fn converted_objects_stay_themselves() {
        let original = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "1", "generation": 3,
            "labels": {"x": "1"}}});
        let new = |metadata: Value| json!({"apiVersion": "g/v2", "kind": "K", "metadata": metadata, "spec": {}});
        let got =
            checked(&original, new(json!({"name": "a", "uid": "1", "labels": {"y": "2"}})), "g/v2")
                .unwrap();
        assert_eq!(
            got["metadata"],
            json!({"name": "a", "uid": "1", "generation": 3, "labels": {"y": "2"}})
        );
        let wrong = checked(&original, new(json!({"name": "b", "uid": "1"})), "g/v2");
        assert_eq!(wrong, Err("must have the same name: a != b".into()));
        let wrong = checked(&original, new(json!({"name": "a"})), "g/v3");
        assert_eq!(wrong, Err("invalid groupVersion (expected g/v3, received g/v2)".into()));
    }
}
