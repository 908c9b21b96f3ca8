//! What a cluster begins with of priority levels and flow schemas: names and numbers are upstream's.

use serde_json::{Value, json};

use crate::walk::Walk;

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// Marks objects whose spec follows the server's.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// The objects whose spec nobody changes.
const MANDATORY: [&str; 2] = ["catch-all", "exempt"];

/// A limited level: name, shares, percent that others may borrow, (queues, hand size) or none. A
/// queue always holds fifty requests.
type Level = (&'static str, i64, i64, Option<(i64, i64)>);

const QUEUE_LENGTH: i64 = 50;

const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, Some((128, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("node-high", 40, 25, Some((64, 6))),
    ("system", 30, 33, Some((64, 6))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
];

/// Whose requests a schema is about.
enum Who {
    Group(&'static str),
    User(&'static str),
    /// An account of kube-system; `*` for all.
    Account(&'static str),
}

use Who::{Account, Group, User};

/// Which requests: everything, or verbs on resources (group, names, cluster-wide too), or health.
enum What {
    All,
    Resources(&'static [&'static str], &'static [(&'static str, &'static [&'static str], bool)]),
    Health,
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    /// How flows are told apart.
    by: &'static str,
    who: &'static [Who],
    what: What,
}

const EVERYBODY: &[Who] = &[Group("system:unauthenticated"), Group("system:authenticated")];
const LEASES: (&str, &[&str], bool) = ("coordination.k8s.io", &["leases"], false);
const LOCK: &[&str] = &["get", "create", "update"];

const fn schema(name: &'static str, level: &'static str, precedence: i64) -> Schema {
    Schema { name, level, precedence, by: "ByUser", who: EVERYBODY, what: What::All }
}

const SCHEMAS: &[Schema] = &[
    schema("catch-all", "catch-all", 10_000),
    Schema {
        who: &[User("system:kube-controller-manager"), Account("endpoint-controller")],
        what: What::Resources(LOCK, &[("", &["endpoints"], false)]),
        ..schema("endpoint-controller", "workload-high", 150)
    },
    Schema { by: "", who: &[Group("system:masters")], ..schema("exempt", "exempt", 1) },
    schema("global-default", "global-default", 9900),
    Schema {
        by: "ByNamespace",
        who: &[User("system:kube-controller-manager")],
        ..schema("kube-controller-manager", "workload-high", 800)
    },
    Schema {
        by: "ByNamespace",
        who: &[User("system:kube-scheduler")],
        ..schema("kube-scheduler", "workload-high", 800)
    },
    Schema {
        by: "ByNamespace",
        who: &[Account("*")],
        ..schema("kube-system-service-accounts", "workload-high", 900)
    },
    Schema { by: "", what: What::Health, ..schema("probes", "exempt", 2) },
    Schema {
        who: &[Group("system:serviceaccounts")],
        ..schema("service-accounts", "workload-low", 9000)
    },
    Schema {
        who: &[User("system:kube-controller-manager"), User("system:kube-scheduler"), Account("*")],
        what: What::Resources(LOCK, &[LEASES]),
        ..schema("system-leader-election", "leader-election", 100)
    },
    Schema {
        who: &[Group("system:nodes")],
        what: What::Resources(&["*"], &[("", &["nodes", "nodes/status"], true), LEASES]),
        ..schema("system-node-high", "node-high", 400)
    },
    Schema { who: &[Group("system:nodes")], ..schema("system-nodes", "system", 500) },
    Schema {
        who: &[Account("*")],
        what: What::Resources(LOCK, &[LEASES]),
        ..schema("workload-leader-election", "leader-election", 200)
    },
];

/// All of them, without what a server sets.
pub fn bootstrap_objects() -> Vec<Value> {
    let levels = LEVELS.iter().map(limited_level).chain([exempt_level()]);
    levels.chain(SCHEMAS.iter().map(flow_schema)).collect()
}

/// The spec that an object of this kind and name must have, if it is one of those that stay.
pub(crate) fn mandatory_spec(kind: &str, name: &str) -> Option<Value> {
    let mut objects = bootstrap_objects().into_iter().filter(|_| MANDATORY.contains(&name));
    let found = objects.find(|o| o.text("kind") == kind && o["metadata"].text("name") == name);
    found.map(|object| object["spec"].clone())
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "spec": spec,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}})
}

fn exempt_level() -> Value {
    let exempt = json!({"nominalConcurrencyShares": 0, "lendablePercent": 0});
    object("PriorityLevelConfiguration", "exempt", json!({"type": "Exempt", "exempt": exempt}))
}

fn limited_level((name, shares, lendable, queues): &Level) -> Value {
    let response = match queues {
        None => json!({"type": "Reject"}),
        Some((queues, hand)) => json!({"type": "Queue", "queuing":
            {"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH}}),
    };
    let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable,
        "limitResponse": response});
    let spec = json!({"type": "Limited", "limited": limited});
    object("PriorityLevelConfiguration", name, spec)
}

fn flow_schema(row: &Schema) -> Value {
    let subjects: Vec<Value> = row.who.iter().map(subject).collect();
    let mut rule = json!({ "subjects": subjects });
    let everywhere = |verbs: &[&str], group: &str, resources: &[&str], cluster: bool| {
        let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources,
            "namespaces": ["*"]});
        if cluster {
            rule["clusterScope"] = true.into();
        }
        rule
    };
    match row.what {
        What::All => {
            rule["resourceRules"] = json!([everywhere(&["*"], "*", &["*"], true)]);
            rule["nonResourceRules"] = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        }
        What::Resources(verbs, resources) => {
            let rules = resources.iter();
            rule["resourceRules"] = rules
                .map(|(group, names, cluster)| everywhere(verbs, group, names, *cluster))
                .collect();
        }
        What::Health => {
            let urls = ["/healthz", "/readyz", "/livez"];
            rule["nonResourceRules"] = json!([{"verbs": ["get"], "nonResourceURLs": urls}]);
        }
    }
    let mut spec = json!({"matchingPrecedence": row.precedence, "rules": [rule],
        "priorityLevelConfiguration": {"name": row.level}});
    if !row.by.is_empty() {
        spec["distinguisherMethod"] = json!({"type": row.by});
    }
    let mut object = object("FlowSchema", row.name, spec);
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {:?} and it exists",
        row.level
    );
    object["status"] = json!({"conditions":
        [{"type": "Dangling", "status": "False", "reason": "Found", "message": message}]});
    object
}

fn subject(who: &Who) -> Value {
    match who {
        Group(name) => json!({"kind": "Group", "group": {"name": name}}),
        User(name) => json!({"kind": "User", "user": {"name": name}}),
        Account(name) => json!({"kind": "ServiceAccount",
            "serviceAccount": {"name": name, "namespace": "kube-system"}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;
    use crate::validation::validate_create;

    #[test]
    fn they_are_valid_and_refer_to_each_other() {
        let kinds = Kinds::known();
        let objects = bootstrap_objects();
        let mut names: Vec<(&str, &str)> = Vec::new();
        for object in &objects {
            let kind = kinds.by_api_version(API_VERSION, object.text("kind")).unwrap();
            let mut defaulted = object.clone();
            crate::defaults::apply_defaults(kind, &mut defaulted);
            assert_eq!(defaulted, *object);
            assert_eq!(validate_create(kind, object), []);
            names.push((object.text("kind"), object["metadata"].text("name")));
        }
        for object in objects.iter().filter(|object| object.text("kind") == "FlowSchema") {
            let level = object["spec"]["priorityLevelConfiguration"].text("name");
            assert!(names.contains(&("PriorityLevelConfiguration", level)), "{level}");
        }
        assert_eq!((LEVELS.len(), SCHEMAS.len()), (7, 13));
    }
}
