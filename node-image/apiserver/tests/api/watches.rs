//! watch.

use http_body_util::{BodyExt, Full};
use kd_apiserver::AnswerBody;
use kd_store::Store;
use serde_json::{Value, json};

use crate::server::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The lines of a watch.
struct Lines {
    body: AnswerBody,
    buffer: Vec<u8>,
}

impl Lines {
    async fn open(server: &Server, query: &str, accept: &str) -> Lines {
        let request = http::Request::get(format!("{MAPS}?watch=1&{query}"))
            .header("accept", accept)
            .body(Full::default())
            .unwrap();
        let answer = server.send(request).await;
        assert_eq!(answer.status(), 200);
        Lines { body: answer.into_body(), buffer: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// `ADDED a`
    async fn show(&mut self) -> String {
        let line = self.next().await.expect("a line");
        let object = &line["object"];
        let name = object["metadata"]["name"].as_str().unwrap_or("-");
        format!("{} {name}", line["type"].as_str().unwrap())
    }
}

async fn label(server: &Server, name: &str, value: &str) {
    let body = json!({"metadata": {"name": name, "labels": {"l": value}}});
    let got = server.ask(&format!("PUT {MAPS}/{name}"), body.clone()).await;
    if got.code == 404 {
        server.ask(&format!("POST {MAPS}"), body).await;
    }
}

#[tokio::test]
async fn from_a_revision() {
    let server = Server::start().await;
    let start = server.store.revision();
    label(&server, "a", "1").await;
    let mut lines = Lines::open(&server, &format!("resourceVersion={start}"), "").await;
    assert_eq!(lines.show().await, "ADDED a");
    label(&server, "a", "2").await;
    assert_eq!(lines.show().await, "MODIFIED a");
    server.ask(&format!("DELETE {MAPS}/a"), Value::Null).await;
    let deleted = lines.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["metadata"]["labels"]["l"], "2", "as it was last");
    let revision = server.store.revision().to_string();
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], revision);
}

#[tokio::test]
async fn selected_objects_come_and_go() {
    let server = Server::start().await;
    let mut lines = Lines::open(&server, "labelSelector=l%3D1", "").await;
    label(&server, "a", "1").await;
    label(&server, "b", "2").await;
    label(&server, "a", "2").await;
    label(&server, "b", "1").await;
    for expect in ["ADDED a", "DELETED a", "ADDED b"] {
        assert_eq!(lines.show().await, expect);
    }
}

#[tokio::test]
async fn initial_events() {
    let server = Server::start().await;
    label(&server, "a", "1").await;
    label(&server, "b", "1").await;
    let query = "labelSelector=l&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = Lines::open(&server, query, "").await;
    assert_eq!(lines.show().await, "ADDED a");
    assert_eq!(lines.show().await, "ADDED b");
    let end = lines.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    let metadata = &end["object"]["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata["resourceVersion"], server.store.revision().to_string());
    let plain = server.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!((plain.code, &plain.body["reason"]), (422, &json!("Invalid")));
}

#[tokio::test]
async fn the_future_is_waited_for() {
    let server = Server::start().await;
    let start = server.store.revision() + 1;
    let mut lines = Lines::open(&server, &format!("resourceVersion={start}"), "").await;
    label(&server, "a", "1").await;
    label(&server, "b", "1").await;
    assert_eq!(lines.show().await, "ADDED b");
}

#[tokio::test]
async fn one_object_by_its_path() {
    let server = Server::start().await;
    label(&server, "a", "1").await;
    label(&server, "b", "1").await;
    let path = "/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1";
    let told = server.get(path).await.body;
    let told = match told {
        Value::String(lines) => lines,
        line => line.to_string(),
    };
    assert!(told.contains("\"name\":\"b\"") && !told.contains("\"name\":\"a\""), "{told}");
}

#[tokio::test]
async fn the_end_and_the_past() {
    let server = Server::start().await;
    let query = format!(
        "timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={}",
        server.store.revision()
    );
    let mut lines = Lines::open(&server, &query, "").await;
    assert_eq!(lines.show().await, "BOOKMARK -");
    assert!(lines.next().await.is_none());
    for value in ["1", "2", "3"] {
        label(&server, "a", value).await;
    }
    let newest = server.store.revision();
    server.store.compact(newest).await.unwrap();
    let mut lines = Lines::open(&server, &format!("resourceVersion={}", newest - 1), "").await;
    let error = lines.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    let message = format!("too old resource version: {} ({newest})", newest - 1);
    assert_eq!(error["object"]["message"], message);
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn tables() {
    let server = Server::start().await;
    label(&server, "a", "1").await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut lines = Lines::open(&server, "labelSelector=l", table).await;
    let first = lines.next().await.unwrap();
    assert_eq!(first["object"]["kind"], "Table");
    assert!(!first["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    label(&server, "a", "2").await;
    let second = lines.next().await.unwrap();
    assert_eq!(second["object"]["rows"][0]["cells"][0], "a");
    assert!(second["object"]["columnDefinitions"].as_array().is_none_or(Vec::is_empty));
}

#[tokio::test]
async fn events_have_two_names() {
    let server = Server::start().await;
    let event = json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "R", "message": "m",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let made = server.ask("POST /api/v1/namespaces/default/events", event).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let other = server.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.body;
    assert_eq!((&other["note"], &other["regarding"]["name"]), (&json!("m"), &json!("p")));
    assert_eq!(other["apiVersion"], "events.k8s.io/v1");
    let path = "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp";
    let list = server.get(path).await.body;
    assert_eq!(list["items"][0]["note"], "m", "{list}");
    let path = "/api/v1/events?fieldSelector=involvedObject.name%3Dp";
    assert_eq!(server.get(path).await.body["items"][0]["message"], "m");
}
