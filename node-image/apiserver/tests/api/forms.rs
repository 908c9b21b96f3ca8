//! In what form answers come: protobuf, metadata alone, Tables, compressed, for people.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Request;
use http_body_util::{BodyExt, Full};
use kd_api::protobuf;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// As client-go's clients ask.
const TYPED: &str = "application/vnd.kubernetes.protobuf,application/json";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn ask(server: &Server, request: &str, accept: &str) -> Answer {
    server.ask_with(request, &[("accept", accept)], Value::Null).await
}

#[track_caller]
fn content_type(answer: &Answer) -> &str {
    answer.headers["content-type"].to_str().unwrap()
}

#[track_caller]
fn message(answer: &Answer) -> Value {
    assert_eq!(content_type(answer), PROTOBUF, "{}", answer.body);
    protobuf::decode(&answer.bytes, ("", "")).unwrap()
}

#[tokio::test]
async fn objects_in_protobuf() {
    let server = Server::start().await;
    server.pod("a", json!({})).await;
    let path = format!("GET {PODS}/a");
    let json = server.get(&format!("{PODS}/a")).await.body;
    let one = message(&ask(&server, &path, TYPED).await);
    for field in ["kind", "apiVersion", "metadata", "spec"] {
        assert_eq!(one[field], json[field], "{field}");
    }
    let list = message(&ask(&server, &format!("GET {PODS}?limit=1"), TYPED).await);
    assert_eq!((&list["kind"], &list["items"][0]["spec"]), (&json!("PodList"), &json["spec"]));
    assert!(list["metadata"]["resourceVersion"].is_string());
    let metadata = message(&ask(&server, &path, METADATA).await);
    assert_eq!(metadata["kind"], "PartialObjectMetadata");
    assert_eq!(metadata["metadata"], json["metadata"]);
    let list = message(&ask(&server, &format!("GET {PODS}"), METADATA_LIST).await);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"], json["metadata"]);
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test]
async fn writes_in_protobuf() {
    let server = Server::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let request = Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", PROTOBUF)
        .header("accept", TYPED)
        .body(Full::from(protobuf::encode(&map).unwrap()))
        .unwrap();
    let answer = crate::server::read(server.send(request).await).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(message(&answer)["data"], json!({"k": "v"}));
    let deleted = ask(&server, "DELETE /api/v1/namespaces/default/configmaps/a", TYPED).await;
    assert_eq!((message(&deleted)["kind"].clone(), deleted.code), (json!("Status"), 200));
    let missing = ask(&server, "GET /api/v1/namespaces/default/configmaps/a", TYPED).await;
    assert_eq!(message(&missing)["reason"], "NotFound");
    assert_eq!(missing.code, 404);
    let scale = "GET /apis/apps/v1/namespaces/default/deployments/d/scale";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    server.ask("POST /apis/apps/v1/namespaces/default/deployments", deployment).await;
    assert_eq!(message(&ask(&server, scale, TYPED).await)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn what_cannot_be_had() {
    let server = Server::start().await;
    let check = async |request: &str, accept: &str, body: Value, message: &str| {
        let answer = server.ask_with(request, &[("accept", accept)], body).await;
        assert_eq!(answer.code, 406, "{request}: {}", answer.body);
        assert_eq!(answer.body["reason"], "NotAcceptable");
        assert_eq!(answer.body["message"], message);
    };
    let accepted = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let streams = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let pods = format!("GET {PODS}");
    check(&pods, "text/html", Value::Null, accepted).await;
    check(&pods, &format!("{PROTOBUF};as=Table;v=v1;g=meta.k8s.io"), Value::Null, accepted).await;
    check(&format!("{pods}?watch=1"), "text/html", Value::Null, streams).await;
    let review = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let reviews = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    check(reviews, TABLE, review, accepted).await;
}

/// The frames of a watch that ends by itself.
async fn frames(server: &Server, path: &str, accept: &str) -> Vec<(String, Value)> {
    let answer = ask(server, &format!("GET {path}"), accept).await;
    assert_eq!(content_type(&answer), "application/vnd.kubernetes.protobuf;stream=watch");
    let mut rest = &answer.bytes[..];
    let mut frames = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (event, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        // Its type is the first field, its object the last one.
        let name = String::from_utf8(event[2..2 + usize::from(event[1])].to_vec()).unwrap();
        let object = event.windows(4).position(|window| window == b"k8s\0").unwrap();
        frames.push((name, protobuf::decode(&event[object..], ("", "")).unwrap()));
        rest = tail;
    }
    frames
}

#[tokio::test]
async fn watches_in_protobuf() {
    let server = Server::start().await;
    server.pod("a", json!({})).await;
    let path = format!(
        "{PODS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    let told = frames(&server, &path, TYPED).await;
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["ADDED", "BOOKMARK"]);
    assert_eq!(told[0].1["spec"]["containers"][0]["name"], "c");
    assert_eq!(told[1].1["kind"], "Pod");
    assert_eq!(told[1].1["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let told = frames(&server, &path, METADATA).await;
    assert_eq!(told[0].1["kind"], "PartialObjectMetadata");
    assert_eq!(told[0].1["metadata"]["name"], "a");
    let ahead = path.replace("timeoutSeconds=1", "resourceVersion=99999");
    let told = frames(&server, &ahead, TYPED).await;
    assert_eq!((told[0].0.as_str(), &told[0].1["code"]), ("ERROR", &json!(504)));
}

#[tokio::test]
async fn long_lists() {
    let server = Server::start().await;
    let text = "x".repeat(50_000);
    for index in 0..8 {
        let map = json!({"metadata": {"name": format!("m{index}"), "labels": {"i": "x"}}, "data": {"k": text}});
        server.ask("POST /api/v1/namespaces/default/configmaps", map).await;
    }
    let path = "GET /api/v1/namespaces/default/configmaps?labelSelector=i";
    let plain = ask(&server, path, "application/json").await;
    let items = plain.body["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|m| m["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"]);
    assert!(plain.headers.get("content-length").is_none(), "it is streamed");
    let request = Request::get(&path[4..])
        .header("accept-encoding", "gzip")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let compressed = server.send(request).await;
    assert_eq!(compressed.headers()["content-encoding"], "gzip");
    let bytes = compressed.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), plain.bytes);
    let table = ask(&server, path, TABLE).await.body;
    assert_eq!(table["rows"].as_array().unwrap().len(), 8);
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = ask(&server, path, metadata).await.body;
    assert_eq!(list["items"][7]["metadata"], items[7]["metadata"]);
    assert_eq!(list["items"][7]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn for_people() {
    let server = Server::start().await;
    let path = "GET /api/v1/namespaces/default?pretty=true";
    let answer = ask(&server, path, "application/json").await;
    assert!(answer.bytes.starts_with(b"{\n  \""));
}
