//! The status of ValidatingAdmissionPolicies: which generation was checked, and what its expressions
//! confuse.

use std::sync::Arc;

use kd_api::{Kind, Object};
use kd_store::{Entry, Error, Expect, Transaction, Watch};
use serde_json::json;

use crate::admission::expression_warnings;
use crate::storage::{Objects, prefix_of};

/// Checks policies as they come and change; for ever.
pub(crate) async fn run(objects: Objects) {
    let kinds = objects.kinds();
    let kind = kinds.preferred("admissionregistration.k8s.io", "validatingadmissionpolicies");
    let Some(kind) = kind.cloned() else { return };
    loop {
        let outcome = match begin(&objects, &kind).await {
            Ok(watch) => follow(&objects, &kind, watch).await,
            Err(error) => error,
        };
        match outcome {
            Error::Closed => return,
            error => tracing::warn!(%error, "admission policies are read anew"),
        }
    }
}

async fn begin(objects: &Objects, kind: &Arc<Kind>) -> Result<Watch, Error> {
    let prefix = prefix_of(kind, "");
    let snapshot = objects.snapshot();
    for entry in snapshot.list(&prefix) {
        settle(objects, kind, entry).await?;
    }
    objects.store.watch(&prefix, snapshot.revision())
}

/// Until the watch ends.
async fn follow(objects: &Objects, kind: &Arc<Kind>, mut watch: Watch) -> Error {
    loop {
        match watch.next().await {
            Ok(event) => {
                if let Some(entry) = &event.current
                    && let Err(error) = settle(objects, kind, entry).await
                {
                    return error;
                }
            }
            Err(error) => return error,
        }
    }
}

/// Writes the status that a policy should have. One that changed meanwhile comes again.
async fn settle(objects: &Objects, kind: &Arc<Kind>, entry: &Entry) -> Result<(), Error> {
    let mut policy = objects.decode(kind, entry).unwrap_or_default();
    let generation = policy.i64_at(&["metadata", "generation"]).unwrap_or(0);
    if policy.i64_at(&["status", "observedGeneration"]) == Some(generation) {
        return Ok(());
    }
    let warnings = expression_warnings(&policy, &objects.kinds());
    policy["status"]["observedGeneration"] = generation.into();
    policy["status"]["typeChecking"] = match warnings.is_empty() {
        true => json!({}),
        false => json!({"expressionWarnings": warnings}),
    };
    let bytes = objects.encode(kind, &policy);
    let expect = Expect::Revision(entry.revision);
    let write = Transaction::new().put(entry.key.clone(), bytes, expect);
    match objects.store.commit(write).await {
        Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}
