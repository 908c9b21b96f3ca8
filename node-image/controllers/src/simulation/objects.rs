//! What a simulated cluster begins with.

use kd_client::{Resource, resources};
use serde_json::{Value, json};

use super::NODES;
use super::world::LEASES;

/// Every object with its resource.
pub fn all() -> Vec<(&'static Resource, Value)> {
    let mut all = nodes();
    all.extend(sets());
    all.extend(jobs());
    all.push((
        &resources::SERVICES,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "w"},
            "spec": {"selector": {"app": "w"}, "ports": [{"port": 80}]}}),
    ));
    all.push((
        &resources::POD_DISRUPTION_BUDGETS,
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "w"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "w"}}}}),
    ));
    all
}

fn nodes() -> Vec<(&'static Resource, Value)> {
    let mut all = Vec::new();
    for name in NODES {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        all.push((
            &resources::NODES,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {},
                "status": {"conditions": ready}}),
        ));
        all.push((
            &resources::LEASES,
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASES}, "spec": {}}),
        ));
    }
    all
}

fn sets() -> Vec<(&'static Resource, Value)> {
    let claims = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}]);
    let kept = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let ordered = json!({"replicas": 3, "serviceName": "s", "volumeClaimTemplates": claims,
        "persistentVolumeClaimRetentionPolicy": kept});
    let parallel = json!({"replicas": 3, "serviceName": "p", "podManagementPolicy": "Parallel"});
    vec![
        (&resources::STATEFUL_SETS, workload("StatefulSet", "s", ordered)),
        (&resources::STATEFUL_SETS, workload("StatefulSet", "p", parallel)),
        (&resources::DAEMON_SETS, workload("DaemonSet", "d", json!({}))),
        (&resources::DEPLOYMENTS, workload("Deployment", "w", json!({"replicas": 3}))),
        (&resources::DEPLOYMENTS, workload("Deployment", "x", json!({"replicas": 2}))),
        (
            &resources::REPLICATION_CONTROLLERS,
            workload("ReplicationController", "r", json!({"replicas": 2})),
        ),
    ]
}

fn jobs() -> Vec<(&'static Resource, Value)> {
    let plain = json!({"completions": 6, "parallelism": 3, "backoffLimit": 100_000});
    let indexed = json!({"completions": 5, "parallelism": 2, "completionMode": "Indexed",
        "backoffLimitPerIndex": 100_000});
    let timed = json!({"completions": 1, "backoffLimit": 100_000, "ttlSecondsAfterFinished": 60});
    let mut template = workload("Job", "c", json!({"backoffLimit": 100_000}));
    template["metadata"] = json!({});
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": template["spec"]}}});
    vec![
        (&resources::JOBS, workload("Job", "j", plain)),
        (&resources::JOBS, workload("Job", "i", indexed)),
        (&resources::JOBS, workload("Job", "t", timed)),
        (&resources::CRON_JOBS, cron),
    ]
}

fn workload(kind: &str, name: &str, spec: Value) -> Value {
    let template = json!({"metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "one"}]}});
    let group = match kind {
        "Job" => "batch/v1",
        "ReplicationController" => "v1",
        _ => "apps/v1",
    };
    let mut object = json!({"apiVersion": group, "kind": kind,
        "metadata": {"name": name, "namespace": "a"}, "spec": spec});
    object["spec"]["template"] = template;
    match kind {
        "Job" => object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
        "ReplicationController" => object["spec"]["selector"] = json!({"app": name}),
        _ => object["spec"]["selector"] = json!({"matchLabels": {"app": name}}),
    }
    object
}
