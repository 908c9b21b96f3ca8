//! Every kind through the whole pipeline: created, read, shown as a table and in protobuf, written back
//! unchanged; and what is particular to some.

use kd_api::{Kind, Kinds};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

/// Manifests of nearly all kinds, as users and components write them.
pub const MANIFESTS: &str = include_str!("../../../api/src/validation/ordinary_objects.yaml");

fn collection(kind: &Kind, object: &Value) -> String {
    let root = if kind.group.is_empty() { "/api" } else { "/apis" };
    let namespace = object["metadata"]["namespace"].as_str();
    let namespace = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
    format!("{root}/{}{namespace}/{}", kind.api_version(), kind.plural)
}

#[tokio::test]
async fn ordinary_objects() {
    let server = Server::start().await;
    let namespace = json!({"metadata": {"name": "n"}});
    assert_eq!(server.ask("POST /api/v1/namespaces", namespace).await.code, 201);
    let kinds = Kinds::built_in();
    let (mut count, mut refused) = (0, Vec::new());
    for document in serde_yaml::Deserializer::from_str(MANIFESTS) {
        let object = Value::deserialize(document).unwrap();
        let [version, name] = ["apiVersion", "kind"].map(|field| object[field].as_str().unwrap());
        let Some(kind) = kinds.by_api_version(version, name) else { continue };
        let path = collection(kind, &object);
        let made = server.ask(&format!("POST {path}?fieldValidation=Strict"), object.clone()).await;
        // Some are there from the beginning.
        if !matches!(made.code, 201 | 409) {
            refused.push(format!("{name}: {}", made.body["message"]));
            continue;
        }
        let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        unchanged_by_a_round(&server, &path, name, made.code == 201).await;
        count += 1;
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(count > 45, "{count}");
}

/// Reads an object in every form and writes it back as it is. What the server made itself gets an
/// owner of its fields that way.
async fn unchanged_by_a_round(server: &Server, path: &str, name: &str, own: bool) {
    let got = settled(server, path, name).await;
    assert_eq!(got.code, 200, "{name}: {}", got.body);
    let put = server.ask(&format!("PUT {path}?fieldValidation=Strict"), got.body.clone()).await;
    assert_eq!(put.code, 200, "{name}: {}", put.body);
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert!(!own || version(&put.body) == version(&got.body), "{name}: {}\n{}", got.body, put.body);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let shown = server.ask_with(&format!("GET {path}"), &table, Value::Null).await.body;
    let cells = shown["rows"][0]["cells"].as_array().map(Vec::len);
    assert_eq!(cells, shown["columnDefinitions"].as_array().map(Vec::len), "{name}: {shown}");
    let binary = [("accept", "application/vnd.kubernetes.protobuf")];
    let encoded = server.ask_with(&format!("GET {path}"), &binary, Value::Null).await;
    assert_eq!((encoded.code, &encoded.bytes[..4]), (200, &b"k8s\0"[..]), "{name}");
}

/// An object; of some kinds the server itself writes the status a moment later.
async fn settled(server: &Server, path: &str, name: &str) -> Answer {
    loop {
        let got = server.get(path).await;
        let status = &got.body["status"];
        let is_settled = match name {
            "CustomResourceDefinition" => {
                let conditions = status["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|c| c["type"] == "Established" && c["status"] == "True")
            }
            "ValidatingAdmissionPolicy" => status["observedGeneration"].is_number(),
            _ => true,
        };
        if is_settled {
            return got;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn autoscalers_in_both_versions() {
    let server = Server::start().await;
    let path = |version: &str| {
        format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers")
    };
    let first = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"}, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let made = server.ask(&format!("POST {}", path("v1")), first).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let mut second = server.get(&format!("{}/web", path("v2"))).await.body;
    let target = &second["spec"]["metrics"][0]["resource"]["target"];
    assert_eq!(target, &json!({"type": "Utilization", "averageUtilization": 50}));
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "hits"},
        "target": {"type": "AverageValue", "averageValue": "5"}}});
    second["spec"]["metrics"].as_array_mut().unwrap().push(pods.clone());
    let put = server.ask(&format!("PUT {}/web", path("v2")), second).await;
    assert_eq!(put.code, 200, "{}", put.body);
    // An old client's write keeps what it cannot say.
    let mut first = server.get(&format!("{}/web", path("v1"))).await.body;
    assert_eq!(first["spec"]["targetCPUUtilizationPercentage"], 50);
    first["spec"]["maxReplicas"] = json!(7);
    assert_eq!(server.ask(&format!("PUT {}/web", path("v1")), first).await.code, 200);
    let second = server.get(&format!("{}/web", path("v2"))).await.body;
    assert_eq!(second["spec"]["maxReplicas"], 7);
    let metrics = second["spec"]["metrics"].as_array().unwrap();
    assert!(metrics.contains(&pods), "{second}");
}

#[tokio::test]
async fn jobs_are_labelled_and_stay() {
    let server = Server::start().await;
    let path = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({"metadata": {"name": "once"}, "spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let made = server.ask(&format!("POST {path}"), job).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let uid = &made.body["metadata"]["uid"];
    assert_eq!(
        made.body["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"],
        *uid
    );
    let mut changed = made.body.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    let refused = server.ask(&format!("PUT {path}/once"), changed).await;
    assert_eq!((refused.code, &refused.body["reason"]), (422, &json!("Invalid")));
    let message = refused.body["message"].as_str().unwrap();
    assert!(message.ends_with("field is immutable"), "{message}");
}

#[tokio::test]
async fn requests_for_certificates_are_approved_apart() {
    let server = Server::start().await;
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = serde_yaml::Deserializer::from_str(MANIFESTS)
        .map(|document| Value::deserialize(document).unwrap())
        .find(|object| object["kind"] == "CertificateSigningRequest")
        .unwrap();
    let made = server.ask(&format!("POST {path}"), request).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["spec"]["username"], "admin");
    let mut decided = made.body.clone();
    decided["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]});
    let ignored = server.ask(&format!("PUT {path}/csr"), decided.clone()).await;
    assert_eq!(ignored.body["status"], json!({}), "{}", ignored.body);
    let approved = server.ask(&format!("PUT {path}/csr/approval"), decided).await;
    assert_eq!(approved.code, 200, "{}", approved.body);
    assert_eq!(approved.body["status"]["conditions"][0]["type"], "Approved");
}

#[tokio::test]
async fn clients_are_warned() {
    let server = Server::start().await;
    let ingress = json!({"metadata": {"name": "a", "annotations": {"kubernetes.io/ingress.class": "x"}},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let made = server.ask(&format!("POST {path}"), ingress).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert!(made.warnings[0].contains("please use 'spec.ingressClassName' instead"));
}
