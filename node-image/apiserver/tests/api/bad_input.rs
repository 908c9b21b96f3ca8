//! What is wrong with a request is told as upstream tells it: code, reason, message.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::server::{Server, read};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

struct Case<'a> {
    request: &'a str,
    sort: &'a str,
    body: Bytes,
    code: u16,
    reason: &'a str,
    /// What the message begins with.
    message: &'a str,
}

fn case<'a>(
    request: &'a str,
    sort: &'a str,
    body: impl Into<Bytes>,
    (code, reason): (u16, &'a str),
    message: &'a str,
) -> Case<'a> {
    Case { request, sort, body: body.into(), code, reason, message }
}

const BAD: (u16, &str) = (400, "BadRequest");
const INVALID: (u16, &str) = (422, "Invalid");
const TOO_LARGE: (u16, &str) = (413, "RequestEntityTooLarge");
const MEDIA: (u16, &str) = (415, "UnsupportedMediaType");

async fn check(server: &Server, cases: &[Case<'_>]) {
    for case in cases {
        let (method, path) = case.request.split_once(' ').unwrap();
        let path = path.replacen("MAPS", MAPS, 1);
        let request =
            Request::builder().method(method).uri(&path).header("content-type", case.sort);
        let answer = read(server.send(request.body(Full::from(case.body.clone())).unwrap()).await);
        let answer = answer.await;
        let said = (answer.code, answer.body["reason"].as_str().unwrap_or(""));
        assert_eq!(said, (case.code, case.reason), "{}: {}", case.request, answer.body);
        let message = answer.body["message"].as_str().unwrap_or("");
        assert!(message.starts_with(case.message), "{}: {message}", case.request);
        assert_eq!(answer.body["status"], "Failure");
    }
}

#[tokio::test]
async fn bodies() {
    let server = Server::start().await;
    let unread = "the object provided is unrecognized (must be of type ConfigMap): ";
    let no_json = format!("{unread}couldn't get version/kind; json parse error: ");
    let create = "POST MAPS";
    let large = "Request entity too large: limit is 3145728";
    let named = json!({"metadata": {"name": "a"}}).to_string();
    let revisions = "POST /apis/apps/v1/namespaces/default/controllerrevisions";
    let deep = "[".repeat(20_000) + "1" + &"]".repeat(20_000);
    let deep = format!("{{\"metadata\":{{\"name\":\"a\"}},\"revision\":1,\"data\":{deep}}}");
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ndata: {g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]}\n";
    check(
        &server,
        &[
            case(create, JSON, "{\"metadata\"", BAD, &no_json),
            case(create, JSON, "", BAD, &no_json),
            case(create, JSON, "[]", BAD, unread),
            case(revisions, JSON, deep, BAD, ""),
            case(create, YAML, "a: [", BAD, unread),
            case(create, YAML, bomb, BAD, ""),
            case(create, PROTOBUF, "{}", BAD, ""),
            case(create, PROTOBUF, &b"k8s\0\x0a\x7f"[..], BAD, ""),
            case(create, JSON, vec![b' '; 3 * 1024 * 1024 + 1], TOO_LARGE, large),
            case("DELETE MAPS/a", JSON, vec![b' '; 3 * 1024 * 1024 + 1], TOO_LARGE, large),
            case(create, "text/plain", named.clone(), MEDIA, "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
            case("DELETE MAPS/kube-root-ca.crt", "text/plain", "{}", MEDIA, "the body of the request was in an unknown format"),
            case(create, JSON, r#"{"data": "x"}"#, BAD, "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),
            case(create, JSON, r#"{"apiVersion": "v1", "kind": "Secret"}"#, BAD, "Secret in version \"v1\" cannot be handled as a ConfigMap: "),
            case(create, JSON, r#"{"apiVersion": "v2", "kind": "ConfigMap"}"#, BAD, "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\""),
            case(create, JSON, r#"{"metadata": {"name": "a", "namespace": "b"}}"#, BAD, "the namespace of the provided object does not match the namespace sent on the request"),
            case("PUT MAPS/b", JSON, "{}", BAD, "the name of the object (b based on URL) was undeterminable: name must be provided"),
            case("PUT MAPS/b", JSON, named, BAD, "the name of the object (a) does not match the name on the URL (b)"),
            case(create, JSON, "{}", INVALID, "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"),
        ],
    )
    .await;
}

#[tokio::test]
async fn patches() {
    let server = Server::start().await;
    let path = "PATCH MAPS/kube-root-ca.crt";
    let accepted = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";
    let many: Vec<Value> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/kind", "value": "ConfigMap"})).collect();
    let many = Value::from(many).to_string();
    check(
        &server,
        &[
            case(path, JSON, "{}", MEDIA, accepted),
            case(path, MERGE, "{", BAD, "error decoding patch: "),
            case(path, JSON_PATCH, "{}", BAD, ""),
            case(path, JSON_PATCH, many, TOO_LARGE, "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"),
            case("PATCH MAPS/kube-root-ca.crt?fieldManager=a", APPLY, r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": ["a/b", "a/b"]}}"#, (500, ""), "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata.finalizers: duplicate entries for key [=\"a/b\"]"),
            case("POST /api/v1/namespaces/default/pods/x/exec?dryRun=All", JSON, "", BAD, "dryRun is not supported"),
            case(path, APPLY, "{}", INVALID, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"),
            case("PATCH MAPS/kube-root-ca.crt?force=true", MERGE, "{}", INVALID, "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"),
            case("PATCH MAPS/kube-root-ca.crt?fieldManager=a", APPLY, "a: [", BAD, "error decoding YAML: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn queries() {
    let server = Server::start().await;
    let selector = "labelSelector=".to_owned() + &"a,".repeat(10_000) + "%3D%3D%3D";
    let selector = format!("GET MAPS?{selector}");
    let number = "strconv.ParseInt: parsing \"x\": invalid syntax";
    check(
        &server,
        &[
            case("GET MAPS?limit=x", JSON, "", BAD, number),
            case("GET MAPS?watch=1&timeoutSeconds=x", JSON, "", BAD, number),
            case("GET MAPS?labelSelector=a%3D%3D%3D", JSON, "", BAD, "unable to parse requirement: "),
            case(&selector, JSON, "", BAD, "unable to parse requirement: "),
            case("GET MAPS?fieldSelector=spec.x%3D1", JSON, "", BAD, ""),
            case("GET MAPS?continue=x", JSON, "", BAD, "invalid continue token: continue key is not valid"),
            case("GET MAPS?watch=1&resourceVersion=x", JSON, "", (500, ""), "resourceVersion: Invalid value: \"x\": strconv.ParseUint"),
            case("POST MAPS?dryRun=Some", JSON, "{}", INVALID, "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: "),
            case("POST MAPS?fieldValidation=X", JSON, "{}", INVALID, "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"X\""),
            case("PUT MAPS/a?dryRun=Some", JSON, "{}", INVALID, "UpdateOptions.meta.k8s.io \"\" is invalid: "),
            case("DELETE MAPS/a?dryRun=Some", JSON, "", INVALID, "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: "),
            case("DELETE MAPS/a?propagationPolicy=X", JSON, "", INVALID, "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"X\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""),
            case("DELETE MAPS/a?propagationPolicy=Orphan&orphanDependents=true", JSON, "", INVALID, "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"),
        ],
    )
    .await;
}

/// Not wrong enough to be refused.
#[tokio::test]
async fn what_is_put_right() {
    let server = Server::start().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let placed = json!({"metadata": {"name": "r", "namespace": "default"}});
    let made = server.ask(&format!("POST {roles}"), placed.clone()).await;
    assert_eq!((made.code, &made.body["metadata"]["namespace"]), (201, &Value::Null));
    let replaced = server.ask(&format!("PUT {roles}/r"), placed).await;
    assert_eq!((replaced.code, &replaced.body["metadata"]["namespace"]), (200, &Value::Null));
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
    let other = json!({"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "v"});
    let owned = json!({"metadata": {"name": "m", "ownerReferences": [owner, other, owner]}});
    let made = server.ask(&format!("POST {MAPS}"), owned.clone()).await;
    let twice = "duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u";
    assert_eq!(made.warnings, [format!("299 - \".metadata.ownerReferences contains {twice}\"")]);
    assert_eq!(made.body["metadata"]["ownerReferences"], json!([owner, other]));
    let replaced = server.ask(&format!("PUT {MAPS}/m"), owned.clone()).await;
    assert_eq!(replaced.warnings, made.warnings);
    let headers = [("content-type", MERGE)];
    let patched = server.ask_with(&format!("PATCH {MAPS}/m"), &headers, owned).await;
    let after = twice.replace("entries", "entries after mutating admission happens");
    assert_eq!(patched.warnings, [format!("299 - \".metadata.ownerReferences contains {after}\"")]);
    assert_eq!(patched.body["metadata"]["ownerReferences"], json!([owner, other]));
}
