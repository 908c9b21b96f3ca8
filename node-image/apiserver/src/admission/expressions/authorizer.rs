//! Authorization checks of expressions, answered by the server's own authorizers.

use std::sync::Arc;

use futures::FutureExt;
use kd_cel::{Authorizer as Checks, Decision as Checked, PathCheck, ResourceCheck};

use crate::authz::UnionAuthorizer;
use crate::request::{Authorizer, Decision, RequestInfo, UserInfo};

/// Decides for the user of a request, or for a service account.
pub(super) struct RequestAuthorizer {
    authorizer: Arc<UnionAuthorizer>,
    user: UserInfo,
}

impl RequestAuthorizer {
    pub(super) fn new(authorizer: Arc<UnionAuthorizer>, user: &UserInfo) -> RequestAuthorizer {
        RequestAuthorizer { authorizer, user: user.clone() }
    }

    fn decide(&self, account: Option<(&str, &str)>, info: &RequestInfo) -> Checked {
        let account = account.map(|(namespace, name)| service_account(namespace, name));
        let user = account.as_ref().unwrap_or(&self.user);
        // Node and RBAC answer from memory. What would have to wait is an error of the check.
        match self.authorizer.authorize(user, info).now_or_never() {
            Some(Decision::Allow(reason)) => Checked { allowed: true, reason, error: None },
            Some(Decision::Deny(reason) | Decision::NoOpinion(reason)) => {
                Checked { allowed: false, reason, error: None }
            }
            None => {
                let error = Some("the authorizer cannot answer at once".to_owned());
                Checked { allowed: false, reason: String::new(), error }
            }
        }
    }
}

fn service_account(namespace: &str, name: &str) -> UserInfo {
    UserInfo {
        username: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        ..UserInfo::default()
    }
}

impl Checks for RequestAuthorizer {
    fn check_path(&self, account: Option<(&str, &str)>, check: &PathCheck) -> Checked {
        let info = RequestInfo {
            path: check.path.clone(),
            verb: check.verb.clone(),
            ..RequestInfo::default()
        };
        self.decide(account, &info)
    }

    fn check_resource(&self, account: Option<(&str, &str)>, check: &ResourceCheck) -> Checked {
        let info = RequestInfo {
            is_resource: true,
            verb: check.verb.clone(),
            group: check.group.clone(),
            version: "*".into(),
            resource: check.resource.clone(),
            subresource: check.subresource.clone(),
            namespace: check.namespace.clone(),
            name: check.name.clone(),
            field_selector: check.field_selector.clone(),
            label_selector: check.label_selector.clone(),
            ..RequestInfo::default()
        };
        self.decide(account, &info)
    }
}
