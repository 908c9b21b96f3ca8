//! Signs approved requests for the signers that Kubernetes itself has:
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::{Change, Interest, View, resources};

use crate::certificates::{Asked, KUBELET_CLIENT, certificate, has, request_of};
use crate::controller::itself;
use crate::plan::CertificateOrder;
use crate::{Controller, Plan, Step, Target};

/// The longest life of a certificate, and the shortest.
const LIFE_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);
const LIFE_MIN: SignedDuration = SignedDuration::from_mins(10);
/// Clocks differ: a certificate holds from a little before.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);
/// Shorter ones end when they say, longer ones end earlier by as much as they begin earlier.
const SHORT: SignedDuration = SignedDuration::from_hours(8);

pub(super) struct CertificateSigning;

type Check = fn(&Asked, &[String]) -> Result<(), String>;

/// The signers, and what they sign.
const SIGNERS: [(&str, Check); 4] = [
    ("kubernetes.io/kube-apiserver-client", check_client),
    (KUBELET_CLIENT, Asked::check_kubelet_client),
    ("kubernetes.io/kubelet-serving", Asked::check_kubelet_serving),
    ("kubernetes.io/legacy-unknown", |_, _| Ok(())),
];

impl Controller for CertificateSigning {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
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

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some((object, mut request)) = request_of(view, target) else { return Plan::nothing() };
        let signer = SIGNERS.iter().find(|(name, _)| *name == request.spec.signer_name);
        let Some((_, check)) = signer.filter(|_| is_due(&request)) else { return Plan::nothing() };
        // What is no request was refused when it was created.
        let Some(asked) = Asked::of(&request.spec.request.0) else { return Plan::nothing() };
        let resource = &resources::CERTIFICATE_SIGNING_REQUESTS;
        let usages = request.spec.usages.clone().unwrap_or_default();
        if let Err(message) = check(&asked, &usages) {
            let conditions = &mut request.status.get_or_insert_default().conditions;
            conditions.get_or_insert_default().push(failure(message, now));
            return Plan::one(Step::update_status(resource, object.key(), &request));
        }
        let order = order(&request, usages, now);
        Plan::one(Step::sign(resource, object.key(), &request, order))
    }
}

fn is_due(request: &CertificateSigningRequest) -> bool {
    has(request, "Approved") && !has(request, "Failed") && certificate(request).is_none()
}

fn check_client(asked: &Asked, usages: &[String]) -> Result<(), String> {
    // Admission may have read another block of the PEM; this one is signed.
    if asked.organizations.iter().any(|organization| organization == "system:masters") {
        return Err("use of the system:masters group is not allowed".into());
    }
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(usage) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    match usages.iter().any(|usage| usage == "client auth") {
        true => Ok(()),
        false => Err("missing required usage for client certificate: client auth".into()),
    }
}

fn failure(message: String, now: Timestamp) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: "Failed".into(),
        status: "True".into(),
        reason: Some("SignerValidationFailure".into()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        ..CertificateSigningRequestCondition::default()
    }
}

fn order(
    request: &CertificateSigningRequest,
    usages: Vec<String>,
    now: Timestamp,
) -> CertificateOrder {
    let wanted = request.spec.expiration_seconds;
    let wanted = wanted.map_or(LIFE_MAX, |seconds| SignedDuration::from_secs(seconds.into()));
    let life = wanted.clamp(LIFE_MIN, LIFE_MAX);
    let not_before = now - BACKDATED;
    let not_after = if life < SHORT { now + life } else { not_before + life };
    CertificateOrder { request_pem: request.spec.request.0.clone(), usages, not_before, not_after }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Action;
    use crate::testing::certificates::{approved, request, with};
    use crate::testing::{at, body, lines, plan, view};

    const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

    fn planned(object: Value) -> Plan {
        let resource = &resources::CERTIFICATE_SIGNING_REQUESTS;
        plan(&CertificateSigning, &view(&[object]), resource, ("", "r"), 100)
    }

    #[test]
    fn approved_requests() {
        let check = |object: Value, expect: &[&str]| assert_eq!(lines(&planned(object)), expect);
        let sign = ["sign certificatesigningrequests r"];
        let person = || approved(request("jane", &["dev"], CLIENT));
        check(request("jane", &["dev"], CLIENT), &[]);
        check(person(), &sign);
        check(approved(request("jane", &["dev"], "example.com/x")), &[]);
        check(approved(request("system:node:a", &["system:nodes"], KUBELET_CLIENT)), &sign);
        check(with(person(), "/status/certificate", json!("eA==")), &[]);
        let refused = planned(approved(request("jane", &["dev"], KUBELET_CLIENT)));
        assert_eq!(lines(&refused), ["update certificatesigningrequests/status r"]);
        let failed = &body(&refused, 0)["status"]["conditions"][1];
        assert_eq!(failed["reason"], "SignerValidationFailure");
        assert_eq!(failed["message"], "subject organization is not system:nodes");
        let usages = planned(with(person(), "/spec/usages", json!(["client auth", "any"])));
        let message = &body(&usages, 0)["status"]["conditions"][1]["message"];
        assert_eq!(message, "invalid usage for client certificate: any");
    }

    #[test]
    fn lives() {
        let check = |seconds: Value, expect: (i64, i64)| {
            let object = approved(request("jane", &["dev"], CLIENT));
            let plan = planned(with(object, "/spec/expirationSeconds", seconds));
            let Action::Sign(_, order) = &plan.stages[0][0].action else { panic!("{plan:?}") };
            assert_eq!((order.not_before, order.not_after), (at(expect.0), at(expect.1)));
        };
        let year = 365 * 24 * 3600;
        check(Value::Null, (-200, year - 200));
        check(json!(600), (-200, 700));
        check(json!(86_400), (-200, 86_200));
        check(json!(year * 2), (-200, year - 200));
    }
}
