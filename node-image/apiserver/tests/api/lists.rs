//! list: selectors, chunks, forms.

use kd_store::{HistoryLimits, Store};
use serde_json::{Value, json};

use crate::server::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn maps(server: &Server, names: &[&str]) {
    for name in names {
        let body = json!({"metadata": {"name": name, "labels": {"m": "x"}}});
        server.ask(&format!("POST {MAPS}"), body).await;
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn selectors() {
    let server = Server::start().await;
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        let more = json!({"metadata": {"labels": {"app": name}}, "spec": {"nodeName": node}});
        server.pod(name, more).await;
    }
    let check = async |query: &str, expect: &[&str]| {
        let list = server.get(&format!("/api/v1/pods?{query}")).await;
        assert_eq!(list.code, 200, "{}", list.body);
        assert_eq!(names(&list.body), expect, "{query}");
    };
    check("", &["a", "b"]).await;
    check("labelSelector=app%3Da", &["a"]).await;
    check("labelSelector=app+in+(a,b),app!%3Da", &["b"]).await;
    check("fieldSelector=spec.nodeName%3Dn2", &["b"]).await;
    check("fieldSelector=metadata.name%3Da", &["a"]).await;
    check("fieldSelector=metadata.namespace%3Dx", &[]).await;
    check("fieldSelector=status.phase%3DPending", &["a", "b"]).await;
    let bad = server.get("/api/v1/pods?fieldSelector=spec.x%3D1").await;
    assert_eq!(bad.code, 400);
    assert_eq!(server.get("/api/v1/pods?labelSelector=a%3D%3D%3D").await.code, 400);
}

#[tokio::test]
async fn items_are_as_stored() {
    let server = Server::start().await;
    maps(&server, &["a"]).await;
    let list = server.get(&format!("{MAPS}?labelSelector=m")).await.body;
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    let mut one = server.get(&format!("{MAPS}/a")).await.body;
    for field in ["kind", "apiVersion"] {
        one.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(list["items"][0], one);
}

#[tokio::test]
async fn chunks_show_one_moment() {
    let server = Server::with(HistoryLimits { events_max: 1000, bytes_max: 1 << 20 }).await;
    maps(&server, &["a", "b", "c", "d"]).await;
    let first = server.get(&format!("{MAPS}?limit=2")).await.body;
    assert_eq!(names(&first), ["a", "b"]);
    // `kube-root-ca.crt` is there as well.
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    maps(&server, &["ba"]).await;
    server.ask(&format!("DELETE {MAPS}/c"), Value::Null).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{MAPS}?limit=9&continue={token}")).await.body;
    assert_eq!(names(&rest), ["c", "d", "kube-root-ca.crt"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(rest["metadata"].get("continue").is_none());
    server.store.compact(server.store.revision()).await.unwrap();
    let late = server.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    assert_eq!((late.code, &late.body["reason"]), (410, &json!("Expired")));
    let token = late.body["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{MAPS}?limit=9&continue={token}")).await.body;
    assert_eq!(names(&rest), ["ba", "d", "kube-root-ca.crt"]);
    let bad = server.get(&format!("{MAPS}?continue=x")).await;
    assert_eq!((bad.code, &bad.body["reason"]), (400, &json!("BadRequest")));
    let message = bad.body["message"].as_str().unwrap();
    assert!(
        message.starts_with("invalid continue token: continue key is not valid: "),
        "{message}"
    );
}

#[tokio::test]
async fn revisions() {
    let server = Server::start().await;
    maps(&server, &["a"]).await;
    let old = server.store.revision();
    maps(&server, &["b"]).await;
    let exact = format!("{MAPS}?labelSelector=m&resourceVersionMatch=Exact&resourceVersion=");
    assert_eq!(names(&server.get(&format!("{exact}{old}")).await.body), ["a"]);
    assert_eq!(
        names(
            &server
                .get(&format!("{MAPS}?labelSelector=m&limit=9&resourceVersion={old}"))
                .await
                .body
        ),
        ["a"]
    );
    assert_eq!(server.get(&format!("{exact}0")).await.code, 422);
    let later = server.get(&format!("{MAPS}?resourceVersion=99999")).await;
    assert_eq!(later.code, 504);
    assert_eq!(later.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    server.store.compact(old + 1).await.unwrap();
    let gone = server.get(&format!("{exact}{old}")).await;
    assert_eq!(gone.code, 410);
    assert_eq!(gone.body["message"], "The resourceVersion for the provided list is too old.");
}

#[tokio::test]
async fn forms() {
    let server = Server::start().await;
    server.pod("a", json!({})).await;
    let get = async |path: &str, accept: &str| {
        server.ask_with(&format!("GET {path}"), &[("accept", accept)], Value::Null).await
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let pods = "/api/v1/namespaces/default/pods";
    let list = get(pods, table).await.body;
    assert_eq!(list["kind"], "Table");
    assert_eq!(list["rows"][0]["cells"][0], "a");
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert!(list["metadata"]["resourceVersion"].is_string());
    let one = get(&format!("{pods}/a"), table).await.body;
    assert_eq!(one["rows"][0]["cells"][0], "a");
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = get(pods, metadata).await.body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none());
    assert_eq!(get(pods, "text/html").await.code, 406);
    let yaml = get(pods, "application/yaml").await;
    assert!(yaml.body.as_str().unwrap().contains("kind: PodList"));
}
