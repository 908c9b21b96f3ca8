//! Deletes bootstrap tokens that have expired.

use jiff::Timestamp;
use kd_client::{Change, DeleteOptions, Interest, View, resources};

use super::bootstrap_tokens::BootstrapToken;
use super::kept;
use crate::controller::itself;
use crate::{Controller, Plan, Step, Target};

pub(super) struct TokenCleaner;

impl Controller for TokenCleaner {
    fn name(&self) -> &'static str {
        "token-cleaner-controller"
    }

    fn account(&self) -> &'static str {
        "token-cleaner"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![kept::secrets()]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let token = change.new.as_ref().is_some_and(|new| BootstrapToken::of(new).is_some());
        itself(&resources::SECRETS, change).filter(|_| token).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::SECRETS, &target.key) else {
            return Plan::nothing();
        };
        let Some(token) = BootstrapToken::of(object).filter(|_| !object.metadata.is_deleting())
        else {
            return Plan::nothing();
        };
        match token.expiration() {
            Some(Ok(end)) if end > now => Plan::at(end),
            // What cannot be read is left for its author to see; nobody can sign in with it.
            Some(Ok(_)) => {
                let mut options = DeleteOptions::of(&object.metadata.uid);
                let version = object.metadata.resource_version.clone();
                options.preconditions.resource_version = Some(version);
                Plan::one(Step::delete(&resources::SECRETS, object.key(), options))
            }
            Some(Err(())) | None => Plan::nothing(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controllers::bootstrap_signer::tests::token;
    use crate::testing::{at, lines, plan, time, view};

    #[test]
    fn expired_tokens_go() {
        let check = |end: Option<String>, second: i64, expect: &[&str], again: Option<i64>| {
            let secret = token("abcdef", end.map_or(json!({}), |end| json!({"expiration": end})));
            let key = ("kube-system", "bootstrap-token-abcdef");
            let plan = plan(&TokenCleaner, &view(&[secret]), &resources::SECRETS, key, second);
            assert_eq!(lines(&plan), expect);
            assert_eq!(plan.again, again.map(at));
        };
        let gone = ["delete secrets kube-system/bootstrap-token-abcdef"];
        check(None, 100, &[], None);
        check(Some(time(50)), 10, &[], Some(50));
        check(Some(time(50)), 50, &gone, None);
        check(Some("tomorrow".into()), 50, &[], None);
    }
}
