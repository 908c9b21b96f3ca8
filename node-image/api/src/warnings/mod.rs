//! What a client is warned of although its write is accepted: names that surprise, fields that are
//! ignored or going away. In upstream's words.

mod pod;

use serde_json::Value;

use crate::validation::names;
use crate::walk::Walk;
use crate::{Kind, Path};

const IN_POD_NAMES: &str = "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended";
const IN_HOST_NAME: &str = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const INGRESS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const HINTS_ANNOTATION: &str = "service.kubernetes.io/topology-aware-hints";

/// Kinds whose pods have a template, and where it is.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "PodTemplate", &["template"]),
    ("", "ReplicationController", &["spec", "template"]),
    ("apps", "DaemonSet", &["spec", "template"]),
    ("apps", "Deployment", &["spec", "template"]),
    ("apps", "ReplicaSet", &["spec", "template"]),
    ("apps", "StatefulSet", &["spec", "template"]),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "Job", &["spec", "template"]),
];

/// The warnings for a write that was accepted; `old` is what an update replaces.
pub fn warnings(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = Warnings::default();
    let names = (kind.group.as_str(), kind.kind.as_str());
    if old.is_none() {
        name(&mut found, names, new);
    }
    let generation = |object: &Value| object["metadata"]["generation"].clone();
    let asked_again = old.is_none_or(|old| generation(old) != generation(new));
    let row = TEMPLATES.iter().find(|(group, kind, _)| (*group, *kind) == names);
    if let Some((_, _, path)) = row.filter(|_| asked_again || new["template"].is_object()) {
        let at = path[1..].iter().fold(Path::new(path[0]), |at, field| at.child(field));
        let template = path.iter().fold(new, |value, field| &value[*field]);
        pod::template(&mut found, template, &at);
    }
    match names {
        ("", "Pod") if old.is_none() => pod::pod(&mut found, new),
        ("", "Service") => service(&mut found, new, old),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => volume(&mut found, new),
        ("apps", "StatefulSet")
            if new["spec"].integer("revisionHistoryLimit").is_some_and(|limit| limit < 0) =>
        {
            let text =
                "a negative value retains all historical revisions; a value >= 0 is recommended";
            found.push(&Path::new("spec").child("revisionHistoryLimit"), text);
        }
        ("networking.k8s.io", "Ingress")
            if old.is_none() && new["metadata"]["annotations"].has(INGRESS_ANNOTATION) =>
        {
            found.0.push(format!(
                "annotation {INGRESS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead"
            ));
        }
        _ => {}
    }
    found.0
}

/// The warnings so far.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn push(&mut self, path: &Path, text: impl std::fmt::Display) {
        self.0.push(format!("{path}: {text}"));
    }
}

/// Names that become names of pods and hosts.
fn name(found: &mut Warnings, names: (&str, &str), object: &Value) {
    let text = match names {
        ("", "Pod") => IN_HOST_NAME,
        ("", "ReplicationController")
        | ("apps", "Deployment" | "ReplicaSet")
        | ("batch", "CronJob" | "Job") => IN_POD_NAMES,
        _ => return,
    };
    let wrong = names::dns_label(object["metadata"].text("name"));
    if !wrong.is_empty() {
        let path = Path::new("metadata").child("name");
        found.push(&path, format!("{text}: [{}]", wrong.join(" ")));
    }
}

fn service(found: &mut Warnings, new: &Value, old: Option<&Value>) {
    let spec = &new["spec"];
    if old.is_none() && new["metadata"]["annotations"].has(HINTS_ANNOTATION) {
        found.0.push(format!(
            "annotation {HINTS_ANNOTATION} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let mut ignored = |field: &str, why: &str| {
        found.0.push(format!("spec.{field} is ignored {why}"));
    };
    if spec.text("clusterIP") == "None" {
        for (field, set) in [
            ("loadBalancerIP", !spec.text("loadBalancerIP").is_empty()),
            ("externalIPs", !spec.list("externalIPs").is_empty()),
            ("sessionAffinity", spec.text("sessionAffinity") == "ClientIP"),
        ] {
            let why = match field {
                "sessionAffinity" => "for headless services",
                _ => "when spec.clusterIP is \"None\"",
            };
            if set {
                ignored(field, why);
            }
        }
    }
    if !spec.text("externalName").is_empty() && spec.text("type") != "ExternalName" {
        ignored("externalName", "when spec.type is not \"ExternalName\"");
    }
}

fn volume(found: &mut Warnings, object: &Value) {
    let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
    if object["metadata"]["annotations"].has(CLASS_ANNOTATION) {
        found.push(&path, "deprecated since v1.8; use \"storageClassName\" attribute instead");
    }
    let spec = &object["spec"];
    if spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        let path = Path::new("spec").child("persistentVolumeReclaimPolicy");
        found.push(&path, "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.");
    }
    for (owner, path) in [
        (&spec["capacity"], Path::new("spec").child("capacity")),
        (&spec["resources"]["requests"], Path::new("spec").child("resources").child("requests")),
    ] {
        pod::whole_bytes(found, owner, "storage", &path);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::kind;

    #[test]
    fn what_clients_are_warned_of() {
        let check = |group: &str, name: &str, object: Value, want: &[&str]| {
            assert_eq!(warnings(&kind(group, "v1", name), &object, None), want, "{object}");
        };
        check("", "Pod", json!({"metadata": {"name": "a"}}), &[]);
        check(
            "networking.k8s.io",
            "Ingress",
            json!({"metadata": {"annotations": {INGRESS_ANNOTATION: "nginx"}}}),
            &[
                r#"annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead"#,
            ],
        );
        check(
            "",
            "Service",
            json!({"spec": {"clusterIP": "None", "sessionAffinity": "ClientIP"}}),
            &["spec.sessionAffinity is ignored for headless services"],
        );
        let containers = json!([{"name": "c", "env": [{"name": "A"}, {"name": "A"}]}]);
        let template = json!({"spec": {"containers": containers}});
        check(
            "apps",
            "Deployment",
            json!({"metadata": {"name": "a"}, "spec": {"template": template}}),
            &[
                r#"spec.template.spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#,
            ],
        );
        let warned = warnings(
            &kind("apps", "v1", "Deployment"),
            &json!({"metadata": {"name": "my.app"}}),
            None,
        );
        assert!(warned[0].starts_with("metadata.name: this is used in Pod names"), "{warned:?}");
    }

    #[test]
    fn updates_that_ask_for_nothing_new_are_quiet() {
        let containers = json!([{"name": "c", "env": [{"name": "A"}, {"name": "A"}]}]);
        let object = json!({"metadata": {"generation": 2},
            "spec": {"template": {"spec": {"containers": containers}}}});
        let deployment = kind("apps", "v1", "Deployment");
        assert_eq!(warnings(&deployment, &object, Some(&object)), [""; 0]);
    }
}
