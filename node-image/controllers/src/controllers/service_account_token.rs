//! Fills Secrets of type `kubernetes.io/service-account-token` with a token of the ServiceAccount
//! that they name, and deletes those whose ServiceAccount is gone.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use kd_client::{Change, DeleteOptions, Interest, Key, Object, View, resources};
use serde_json::{Value, json};

use super::kept::{self, ACCOUNT_TOKEN};
use crate::controller::shared;
use crate::{Action, Config, Controller, Guard, Plan, READER, Step, Target};

/// Annotations of such a Secret: its ServiceAccount.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

pub(super) struct ServiceAccountTokens {
    root_ca: String,
}

impl ServiceAccountTokens {
    pub(super) fn new(config: &Config) -> ServiceAccountTokens {
        ServiceAccountTokens { root_ca: BASE64_STANDARD.encode(&config.root_ca) }
    }
}

impl Controller for ServiceAccountTokens {
    fn name(&self) -> &'static str {
        "serviceaccount-token-controller"
    }

    /// It makes the credentials of the others, and so cannot have one of them.
    fn user(&self) -> String {
        READER.to_owned()
    }

    fn interests(&self) -> Vec<Interest> {
        vec![kept::secrets(), Interest::metadata(&resources::SERVICE_ACCOUNTS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let secrets = shared(&resources::SECRETS);
        if change.resource.same(&secrets) {
            let ours = account_of(object).is_some();
            return ours.then(|| Target::of(&secrets, object)).into_iter().collect();
        }
        let all = view.objects(&secrets, Some(&object.metadata.namespace));
        let ours = all.filter(|secret| {
            account_of(secret).is_some_and(|account| account.name == object.metadata.name)
        });
        ours.map(|secret| Target::of(&secrets, secret)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::SECRETS, &target.key) else {
            return Plan::nothing();
        };
        let Some(account) = account_of(object).filter(|_| !object.metadata.is_deleting()) else {
            return Plan::nothing();
        };
        let key = Key::new(&object.metadata.namespace, &account.name);
        let known = view.object(&resources::SERVICE_ACCOUNTS, &key);
        match known.filter(|known| account.uid.is_empty() || known.metadata.uid == account.uid) {
            Some(known) => {
                self.fill(object, account.secret, known).map_or_else(Plan::nothing, Plan::one)
            }
            None => Plan::one(delete(object, key, account.uid)),
        }
    }
}

/// A token's Secret and whom it names.
struct Named {
    secret: Value,
    name: String,
    uid: String,
}

fn account_of(object: &Object) -> Option<Named> {
    let secret: Value = object.bytes().and(object.decode())?;
    if secret["type"] != ACCOUNT_TOKEN {
        return None;
    }
    let annotation = |name: &str| {
        secret["metadata"]["annotations"][name].as_str().unwrap_or_default().to_owned()
    };
    let (name, uid) = (annotation(ACCOUNT_NAME), annotation(ACCOUNT_UID));
    (!name.is_empty()).then_some(Named { secret, name, uid })
}

/// The Secret goes, unless its ServiceAccount is there after all.
fn delete(object: &Object, account: Key, uid: String) -> Step {
    let resource = resources::SERVICE_ACCOUNTS.clone();
    let options = DeleteOptions::of(&object.metadata.uid);
    Step::delete(&resources::SECRETS, object.key(), options).guarded(Guard::Absent {
        resource,
        key: account,
        uid,
    })
}

impl ServiceAccountTokens {
    /// The write that completes a Secret, if it lacks anything.
    fn fill(&self, object: &Object, secret: Value, account: &Object) -> Option<Step> {
        let mut filled = secret;
        let before = filled.clone();
        filled["metadata"]["annotations"][ACCOUNT_UID] = json!(account.metadata.uid);
        if !filled["data"].is_object() {
            filled["data"] = json!({});
        }
        if !self.root_ca.is_empty() {
            filled["data"]["ca.crt"] = json!(self.root_ca);
        }
        let namespace = BASE64_STANDARD.encode(&object.metadata.namespace);
        filled["data"]["namespace"] = json!(namespace);
        let has_token = filled["data"]["token"].as_str().is_some_and(|token| !token.is_empty());
        if has_token && filled == before {
            return None;
        }
        let mut step = Step::update(&resources::SECRETS, object.key(), &filled);
        if !has_token {
            step.action = Action::FillToken { account: account.key(), secret: filled };
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn secret(more: Value) -> Value {
        let mut all = object(
            "Secret",
            "a",
            "t",
            json!({"type": ACCOUNT_TOKEN, "metadata": {"annotations": {ACCOUNT_NAME: "robot"}}}),
        );
        merge(&mut all, more);
        all
    }

    fn reconcile(objects: &[Value]) -> Plan {
        let config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "PEM");
        let controller = ServiceAccountTokens::new(&config);
        plan(&controller, &view(objects), &resources::SECRETS, ("a", "t"), 1)
    }

    #[test]
    fn a_secret_is_filled_once() {
        let account = object("ServiceAccount", "a", "robot", json!({}));
        let filled = reconcile(&[secret(json!({})), account.clone()]);
        assert_eq!(lines(&filled), ["fill-token secrets a/t"]);
        let mut done = body(&filled, 0).clone();
        assert_eq!(done["metadata"]["annotations"][ACCOUNT_UID], "robot-uid");
        assert_eq!(done["data"], json!({"ca.crt": "UEVN", "namespace": "YQ=="}));
        done["data"]["token"] = json!("eA==");
        assert!(reconcile(&[done.clone(), account.clone()]).is_empty());
        done["data"]["ca.crt"] = json!("b2xk");
        assert_eq!(lines(&reconcile(&[done, account])), ["update secrets a/t"]);
    }

    #[test]
    fn a_secret_of_nobody_goes() {
        let gone = reconcile(&[secret(json!({}))]);
        assert_eq!(lines(&gone), ["delete secrets a/t"]);
        assert_eq!(gone.steps().next().unwrap().guards.len(), 1);
        let other = json!({"metadata": {"annotations": {ACCOUNT_UID: "another"}}});
        let account = object("ServiceAccount", "a", "robot", json!({}));
        assert_eq!(lines(&reconcile(&[secret(other), account.clone()])), ["delete secrets a/t"]);
        assert!(reconcile(&[secret(json!({"type": "Opaque"})), account]).is_empty());
    }
}
