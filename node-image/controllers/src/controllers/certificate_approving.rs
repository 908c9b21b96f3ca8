//! Approves the requests of kubelets for client certificates, if whoever made them has the right to:
//! `create` on `certificatesigningrequests/selfnodeclient` or `/nodeclient`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use kd_client::{Change, Interest, View, resources};
use serde_json::{Value, json};

use crate::certificates::{Asked, KUBELET_CLIENT, certificate, has, request_of};
use crate::controller::itself;
use crate::{Answers, Ask, Controller, Plan, Step, Target};

/// Rights change without a word to who waits for them.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

pub(super) struct CertificateApproving;

/// The right that is asked for, and what is said when it is there.
const RIGHTS: [(&str, &str); 2] = [
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
];

impl Controller for CertificateApproving {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn account(&self) -> &'static str {
        "certificate-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::CERTIFICATE_SIGNING_REQUESTS)]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        itself(&resources::CERTIFICATE_SIGNING_REQUESTS, change).into_iter().collect()
    }

    fn ask(&self, view: &View, target: &Target, _now: Timestamp, _memory: &Value) -> Ask {
        let Some((_, request)) = request_of(view, target) else { return Ask::Nothing };
        let rights = rights(&request);
        if rights.is_empty() {
            return Ask::Nothing;
        }
        Ask::Access(rights.iter().map(|(right, _)| review(&request, right)).collect())
    }

    fn reconcile(&self, _view: &View, _target: &Target, _now: Timestamp) -> Plan {
        Plan::nothing()
    }

    fn decide(&self, view: &View, target: &Target, now: Timestamp, answers: &Answers) -> Plan {
        let Some((object, mut request)) = request_of(view, target) else { return Plan::nothing() };
        let rights = rights(&request);
        let mut held = rights.iter().zip(&answers.allowed);
        let Some(((_, message), _)) = held.find(|(_, allowed)| **allowed == Ok(true)) else {
            return if rights.is_empty() { Plan::nothing() } else { Plan::at(now + ASK_AGAIN) };
        };
        let conditions = &mut request.status.get_or_insert_default().conditions;
        conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
            type_: "Approved".into(),
            status: "True".into(),
            reason: Some("AutoApproved".into()),
            message: Some((*message).into()),
            ..CertificateSigningRequestCondition::default()
        });
        let resource = &resources::CERTIFICATE_SIGNING_REQUESTS;
        Plan::one(Step::update_approval(resource, object.key(), &request))
    }
}

/// The rights of which one is enough; none for what is not a kubelet's, or decided.
fn rights(request: &CertificateSigningRequest) -> Vec<(&'static str, &'static str)> {
    let decided = certificate(request).is_some() || has(request, "Approved");
    if decided || has(request, "Denied") || request.spec.signer_name != KUBELET_CLIENT {
        return Vec::new();
    }
    let usages = request.spec.usages.clone().unwrap_or_default();
    let asked = Asked::of(&request.spec.request.0);
    let Some(asked) = asked.filter(|asked| asked.check_kubelet_client(&usages).is_ok()) else {
        return Vec::new();
    };
    let own = request.spec.username.as_deref() == Some(&asked.common_name);
    RIGHTS.into_iter().filter(|(right, _)| own || *right == "nodeclient").collect()
}

fn review(request: &CertificateSigningRequest, right: &str) -> Value {
    let spec = &request.spec;
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.username,
            "uid": spec.uid,
            "groups": spec.groups,
            "extra": spec.extra,
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "subresource": right,
                "verb": "create",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kd_client::Key;

    use super::*;
    use crate::testing::certificates::{request, with};
    use crate::testing::{at, body, lines, view};

    fn check(object: Value, allowed: &[bool], rights: &[&str], expect: &[&str]) {
        let view = view(&[object]);
        let resource = Arc::new(resources::CERTIFICATE_SIGNING_REQUESTS.clone());
        let target = Target::new(&resource, Key::cluster("r"));
        let asked = match CertificateApproving.ask(&view, &target, at(0), &Value::Null) {
            Ask::Access(reviews) => reviews,
            _ => Vec::new(),
        };
        let asked: Vec<&str> = asked
            .iter()
            .filter_map(|r| r["spec"]["resourceAttributes"]["subresource"].as_str())
            .collect();
        assert_eq!(asked, rights);
        let allowed = allowed.iter().map(|allowed| Ok(*allowed)).collect();
        let answers = Answers { allowed, ..Answers::default() };
        let plan = CertificateApproving.decide(&view, &target, at(0), &answers);
        assert_eq!(lines(&plan), expect);
        if !expect.is_empty() {
            assert_eq!(body(&plan, 0)["status"]["conditions"][0]["reason"], "AutoApproved");
        }
    }

    #[test]
    fn kubelets_that_may() {
        let approved = ["update certificatesigningrequests/approval r"];
        let kubelet = || request("system:node:a", &["system:nodes"], KUBELET_CLIENT);
        let both = ["selfnodeclient", "nodeclient"];
        check(kubelet(), &[false, true], &["nodeclient"], &[]);
        check(kubelet(), &[true], &["nodeclient"], &approved);
        check(with(kubelet(), "/spec/username", json!("system:node:a")), &[true], &both, &approved);
        let decided = json!([{"type": "Denied", "status": "True"}]);
        check(with(kubelet(), "/status", json!({"conditions": decided})), &[], &[], &[]);
        check(request("x", &["system:nodes"], KUBELET_CLIENT), &[], &[], &[]);
        check(request("system:node:a", &["system:nodes"], "example.com/x"), &[], &[], &[]);
    }
}
