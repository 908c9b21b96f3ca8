//! An authorizer behind a webhook: a SubjectAccessReview is posted, and the answer kept for a while
//! (<https://kubernetes.io/docs/reference/access-authn-authz/webhook/>).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kd_api::Object;
use kd_cel::{Activation, Budget, MATCH_CONDITIONS_BUDGET, Value as Cel};
use serde_json::{Value, json};

use super::configuration::WebhookConfiguration;
use super::review::spec_of;
use crate::config::Clock;
use crate::request::{Authorizer, Decision, RequestInfo, UserInfo};
use crate::webhook::WebhookClients;

/// Answers that are kept; all are forgotten when there are more.
const KEPT_MAX: usize = 4096;
/// Requests with longer descriptions are asked for each time.
const KEPT_BYTES_MAX: usize = 10_000;

/// Asks one webhook.
pub(crate) struct WebhookAuthorizer {
    configuration: Arc<WebhookConfiguration>,
    clients: Arc<WebhookClients>,
    clock: Clock,
    kept: Mutex<HashMap<String, (Timestamp, Decision)>>,
}

impl WebhookAuthorizer {
    pub(crate) fn new(
        configuration: Arc<WebhookConfiguration>,
        clients: Arc<WebhookClients>,
        clock: Clock,
    ) -> WebhookAuthorizer {
        WebhookAuthorizer { configuration, clients, clock, kept: Mutex::default() }
    }

    fn failed(&self, why: &str) -> Decision {
        let name = &self.configuration.name;
        tracing::warn!(authorizer = name, why, "webhook authorizer");
        match self.configuration.denies_on_failure {
            true => Decision::Deny(why.to_owned()),
            false => Decision::NoOpinion(why.to_owned()),
        }
    }

    /// Whether all match conditions hold.
    fn concerns(&self, spec: &Value) -> Result<bool, String> {
        if self.configuration.match_conditions.is_empty() {
            return Ok(true);
        }
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let scope = Activation::new().with("request", Cel::from_json(spec));
        let mut failure = None;
        for condition in self.configuration.match_conditions.iter() {
            match condition.evaluate(&scope, &mut budget) {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {}
                Err(error) => failure = Some(error.to_string()),
            }
        }
        failure.map_or(Ok(true), Err)
    }

    fn known(&self, key: &str, now: Timestamp) -> Option<Decision> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, decision) = kept.get(key)?;
        (*until > now).then(|| decision.clone())
    }

    fn keep(&self, key: String, decision: &Decision, now: Timestamp) {
        let life = match decision {
            Decision::Allow(_) => self.configuration.authorized_seconds,
            _ => self.configuration.unauthorized_seconds,
        };
        if life <= 0 || key.len() > KEPT_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let until = now.checked_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX);
        kept.insert(key, (until, decision.clone()));
    }
}

#[async_trait]
impl Authorizer for WebhookAuthorizer {
    async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        let spec = spec_of(user, info);
        match self.concerns(&spec) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(String::new()),
            Err(why) => return self.failed(&why),
        }
        let key = spec.to_string();
        if let Some(decision) = self.known(&key, (self.clock)()) {
            return decision;
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "metadata": {}, "spec": spec});
        let configuration = &self.configuration;
        let answered =
            self.clients.post_to(&configuration.target, &review, configuration.timeout).await;
        let decision = match answered {
            Err(error) => return self.failed(&error.to_string()),
            Ok(answer) => decision_of(&answer["status"]),
        };
        self.keep(key, &decision, (self.clock)());
        decision
    }
}

fn decision_of(status: &Value) -> Decision {
    let reason = status.str_at(&["reason"]).to_owned();
    match (status["allowed"] == true, status["denied"] == true) {
        (true, true) => Decision::Deny(
            "webhook subject access review returned both allow and deny response".into(),
        ),
        (true, false) => Decision::Allow(reason),
        (false, true) => Decision::Deny(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::configuration::{AuthorizationConfiguration, AuthorizerConfiguration};
    use super::*;
    use crate::testing::webhook::WebhookServer;
    use crate::testing::{FakeReader, resource_info, user};

    fn authorizer(server: &WebhookServer, more: &str) -> WebhookAuthorizer {
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"certificate-authority-data": server.ca_bundle,
                "server": format!("https://localhost:{}/authorize", server.address.port())}}],
            "users": [{"name": "u", "user": {"token": "sesame"}}]});
        let files = BTreeMap::from([("f".to_owned(), kubeconfig.to_string())]);
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n\
             - {{type: Webhook, name: w, webhook: {{timeout: 3s, authorizedTTL: 5m, unauthorizedTTL: 30s, subjectAccessReviewVersion: v1, \
             matchConditionSubjectAccessReviewVersion: v1, failurePolicy: NoOpinion, connectionInfo: {{type: KubeConfigFile, kubeConfigFile: f}}{more}}}}}"
        );
        let configuration = AuthorizationConfiguration::parse(&text, &files).unwrap();
        let [AuthorizerConfiguration::Webhook(webhook)] = &configuration.authorizers[..] else {
            panic!("{configuration:?}")
        };
        let clients = Arc::new(WebhookClients::new(FakeReader::with([])));
        WebhookAuthorizer::new(webhook.clone(), clients, Arc::new(Timestamp::now))
    }

    #[tokio::test]
    async fn it_is_asked_once() {
        let server = WebhookServer::start(&["localhost"], |review| {
            let verb = review["spec"]["resourceAttributes"]["verb"].as_str().unwrap_or("");
            let status = match verb {
                "get" => json!({"allowed": true, "reason": "fine"}),
                "delete" => json!({"denied": true, "reason": "never"}),
                _ => json!({"allowed": false}),
            };
            (200, json!({"status": status}).to_string())
        })
        .await;
        let authorizer = authorizer(&server, "");
        let x = user("x", &["g"]);
        let check = async |verb: &str, expect: Decision| {
            let info = resource_info(verb, "apps:deployments/scale", "n", "d");
            assert_eq!(authorizer.authorize(&x, &info).await, expect);
        };
        for _ in 0..2 {
            check("get", Decision::Allow("fine".into())).await;
            check("delete", Decision::Deny("never".into())).await;
            check("list", Decision::NoOpinion(String::new())).await;
        }
        let received = server.received();
        assert_eq!(received.len(), 3);
        assert_eq!(received[0].headers["authorization"], "Bearer sesame");
        assert_eq!(
            received[0].body["spec"],
            json!({"user": "x", "groups": ["g"],
            "resourceAttributes": {"verb": "get", "group": "apps", "version": "v1", "resource": "deployments",
                "subresource": "scale", "namespace": "n", "name": "d"}})
        );
    }

    #[tokio::test]
    async fn conditions_and_failures() {
        let server = WebhookServer::start(&["localhost"], |_| (500, String::new())).await;
        let of_apps = ", matchConditions: [{expression: 'request.user == \"x\"'}]";
        let authorizer = authorizer(&server, of_apps);
        let info = resource_info("get", "pods", "n", "p");
        let decision = authorizer.authorize(&user("y", &[]), &info).await;
        assert_eq!(decision, Decision::NoOpinion(String::new()));
        assert!(server.received().is_empty());
        let decision = authorizer.authorize(&user("x", &[]), &info).await;
        assert!(
            matches!(decision, Decision::NoOpinion(why) if why.contains("an error on the server"))
        );
    }
}
