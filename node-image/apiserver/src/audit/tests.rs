//! Requests to a server, and the lines that they leave in its log.

use serde_json::{Value, json};

use super::{AuditConfig, AuditPolicy};
use crate::testing::server::TestServer;

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: RequestResponse, users: [admin], resources: [{group: '', resources: [configmaps]}]}
- {level: Metadata, users: [admin], resources: [{group: '', resources: [secrets]}], omitStages: [RequestReceived]}
- {level: None}
";

struct Audited {
    server: TestServer,
    directory: tempfile::TempDir,
}

impl Audited {
    async fn start() -> Audited {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("audit.log");
        let policy = AuditPolicy::parse(POLICY).unwrap();
        let server =
            TestServer::with(|config| config.audit = Some(AuditConfig { policy, log })).await;
        Audited { server, directory }
    }

    /// The lines of the log, once there are this many: another thread writes them.
    async fn lines(&self, count: usize) -> Vec<Value> {
        let path = self.directory.path().join("audit.log");
        let read = || -> Vec<Value> {
            let text = std::fs::read_to_string(&path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let enough = async {
            while read().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(10), enough).await;
        assert!(waited.is_ok(), "{:#?}", read());
        read()
    }
}

#[tokio::test]
async fn what_was_asked_and_answered() {
    let audited = Audited::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}});
    let headers =
        [("audit-id", "mine"), ("user-agent", "me"), ("content-type", "application/json")];
    audited.server.ask_with(&format!("POST {path}?fieldManager=m"), &headers, object).await;
    let lines = audited.lines(2).await;
    let [received, complete] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(
        (&received["stage"], &received["auditID"]),
        (&json!("RequestReceived"), &json!("mine"))
    );
    assert_eq!((&received["verb"], &received["userAgent"]), (&json!("create"), &json!("me")));
    assert_eq!(received["user"]["username"], "admin");
    assert!(received.get("requestObject").is_none() && received.get("annotations").is_none());
    assert_eq!(complete["stage"], "ResponseComplete");
    assert_eq!(complete["responseStatus"], json!({"metadata": {}, "code": 201}));
    let reference =
        json!({"resource": "configmaps", "namespace": "default", "name": "c", "apiVersion": "v1"});
    assert_eq!(complete["objectRef"], reference);
    assert_eq!(complete["requestObject"]["data"], json!({"a": "b"}));
    assert!(complete["responseObject"]["metadata"]["uid"].is_string());
    assert!(complete["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!(complete["annotations"]["authorization.k8s.io/decision"], "allow");
    let patch = [("content-type", "application/merge-patch+json")];
    let change = json!({"data": {"a": "c"}});
    audited.server.ask_with(&format!("PATCH {path}/c"), &patch, change.clone()).await;
    audited.server.ask(&format!("GET {path}/absent"), Value::Null).await;
    let lines = audited.lines(6).await;
    assert_eq!(lines[3]["requestObject"], change);
    let missing = &lines[5]["responseStatus"];
    assert_eq!((&missing["code"], &missing["reason"]), (&json!(404), &json!("NotFound")));
}

#[tokio::test]
async fn lists_and_other_users() {
    let audited = Audited::start().await;
    let as_other = [("impersonate-user", "someone")];
    let secrets = "GET /api/v1/namespaces/default/secrets";
    let refused = audited.server.ask_with(secrets, &as_other, Value::Null).await;
    assert_eq!(refused.code, 403);
    audited.server.ask("GET /api/v1/namespaces", Value::Null).await;
    audited.server.ask("GET /api/v1/namespaces/default/configmaps", Value::Null).await;
    let lines = audited.lines(3).await;
    assert_eq!(lines[0]["impersonatedUser"]["username"], "someone");
    assert_eq!(lines[0]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["responseStatus"]["code"]),
        (&json!("Metadata"), &json!(403))
    );
    assert_eq!(lines[2]["verb"], "list");
    assert_eq!(lines[2]["responseObject"]["kind"], "ConfigMapList");
}
