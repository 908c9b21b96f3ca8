//! The end of a definition: its objects are deleted, and when the last is gone it goes itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kd_api::custom::{CLEANUP_FINALIZER, is_established, set_condition};
use kd_api::{Kind, Object};
use kd_store::{Error, Expect, Transaction};
use serde_json::Value;
use tower::ServiceExt;

use super::ATTEMPTS_MAX;
use crate::pipeline::THIS_SERVER;
use crate::request::UserInfo;
use crate::server::ApiServer;
use crate::storage::{key_of, resource_prefix};

type Condition = (&'static str, &'static str, &'static str, &'static str);

const PROGRESS: Condition =
    ("Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
const COMPLETED: Condition =
    ("Terminating", "False", "InstanceDeletionCompleted", "removed all instances");
const NEVER: Condition =
    ("Terminating", "False", "NeverEstablished", "resource was never established");

/// Deletes the objects of a definition, then the definition.
pub(super) async fn run(
    server: &Weak<ApiServer>,
    kind: &Arc<Kind>,
    name: &str,
    uid: &str,
) -> Result<(), Error> {
    let Some(definition) = change(server, kind, (name, uid), PROGRESS, false).await? else {
        return Ok(());
    };
    if !is_established(&definition) {
        change(server, kind, (name, uid), NEVER, true).await?;
        return Ok(());
    }
    let group = definition.str_at(&["spec", "group"]);
    let plural = definition.str_at(&["status", "acceptedNames", "plural"]);
    delete_objects(server, group, plural).await?;
    change(server, kind, (name, uid), COMPLETED, true).await?;
    Ok(())
}

/// Asks for the deletion of all objects, and waits until there are none.
async fn delete_objects(server: &Weak<ApiServer>, group: &str, plural: &str) -> Result<(), Error> {
    let prefix = resource_prefix(group, plural);
    let Some(strong) = server.upgrade() else { return Ok(()) };
    let snapshot = strong.objects.snapshot();
    let mut watch = strong.objects.store.watch(&prefix, snapshot.revision())?;
    let places: BTreeSet<String> = snapshot
        .list(&prefix)
        .map(|entry| {
            let rest = entry.key[prefix.len()..].rsplit_once('/');
            rest.map_or("", |(namespace, _)| namespace).to_owned()
        })
        .collect();
    for namespace in &places {
        delete_collection(&strong, (group, plural), namespace).await?;
    }
    drop(strong);
    loop {
        let Some(strong) = server.upgrade() else { return Ok(()) };
        if strong.objects.snapshot().list(&prefix).next().is_none() {
            return Ok(());
        }
        drop(strong);
        watch.next().await?;
    }
}

async fn delete_collection(
    server: &Arc<ApiServer>,
    (group, plural): (&str, &str),
    namespace: &str,
) -> Result<(), Error> {
    let Some(kind) = server.objects.kinds().preferred(group, plural).cloned() else {
        return remove_all(server, &resource_prefix(group, plural)).await;
    };
    let place =
        if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    let path = format!("/apis/{group}/{}/{place}{plural}", kind.version);
    let user = UserInfo {
        username: THIS_SERVER.into(),
        groups: vec!["system:masters".into()],
        ..UserInfo::default()
    };
    let Ok(request) = Request::delete(&path).body(Full::<Bytes>::default()) else { return Ok(()) };
    match server.service(user).oneshot(request).await {
        Ok(answer) if !answer.status().is_success() => {
            tracing::warn!(path, status = %answer.status(), "custom resources could not be deleted");
        }
        Ok(_) => {}
        Err(never) => match never {},
    }
    Ok(())
}

/// Objects of no served version cannot be asked for.
async fn remove_all(server: &ApiServer, prefix: &str) -> Result<(), Error> {
    let keys: Vec<_> = server.objects.snapshot().list(prefix).map(|e| e.key.clone()).collect();
    for key in keys {
        server.objects.store.commit(Transaction::new().delete(key, Expect::Any)).await?;
    }
    Ok(())
}

/// Sets a condition, and takes the finalizer away (`done`). None when the definition is gone.
async fn change(
    server: &Weak<ApiServer>,
    kind: &Arc<Kind>,
    (name, uid): (&str, &str),
    condition: Condition,
    done: bool,
) -> Result<Option<Value>, Error> {
    let Some(server) = server.upgrade() else { return Ok(None) };
    let objects = &server.objects;
    let key: Arc<str> = key_of(kind, "", name).into();
    for _ in 0..ATTEMPTS_MAX {
        let Some(entry) = objects.store.get(&key) else { return Ok(None) };
        let mut new = objects.decode(kind, &entry).unwrap_or_default();
        if new.uid() != uid {
            return Ok(None);
        }
        set_condition(&mut new, condition, (server.clock)());
        if done {
            let rest = new.finalizers().into_iter().filter(|name| *name != CLEANUP_FINALIZER);
            let rest: Vec<String> = rest.map(str::to_owned).collect();
            new.set_finalizers(rest);
        }
        let expect = Expect::Revision(entry.revision);
        let goes = done && new.finalizers().is_empty();
        let write = match goes {
            true => Transaction::new().delete(key.clone(), expect),
            false => Transaction::new().put(key.clone(), objects.encode(kind, &new), expect),
        };
        match objects.store.commit(write).await {
            Ok(_) => return Ok(Some(new)),
            Err(Error::Conflict { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}
