//! Deletes CertificateSigningRequests that nobody needs any more.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kd_client::{Change, DeleteOptions, Interest, View, resources};

use crate::certificates::{certificate, request_of};
use crate::controller::itself;
use crate::{Controller, Plan, Step, Target};

/// How long requests stay that were decided, and those that were not or have no certificate yet.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);

pub(super) struct CertificateCleaning;

impl Controller for CertificateCleaning {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-cleaner-controller"
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
        let Some((object, request)) = request_of(view, target) else { return Plan::nothing() };
        match ends(&request) {
            None => Plan::nothing(),
            Some(time) if time > now => Plan::at(time),
            Some(_) => {
                let options = DeleteOptions::of(&object.metadata.uid);
                let resource = &resources::CERTIFICATE_SIGNING_REQUESTS;
                Plan::one(Step::delete(resource, object.key(), options))
            }
        }
    }
}

/// When a request is to go.
fn ends(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let issued = certificate(request);
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_deref());
    let conditions = conditions.unwrap_or_default();
    let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut ends: Vec<Timestamp> = Vec::new();
    if conditions.is_empty() {
        ends.extend(created.and_then(|time| time.checked_add(PENDING).ok()));
    }
    for condition in conditions {
        let life = match (condition.type_.as_str(), issued) {
            ("Approved", Some(_)) | ("Denied" | "Failed", _) => DECIDED,
            ("Approved", None) => PENDING,
            _ => continue,
        };
        let updated = condition.last_update_time.as_ref();
        ends.extend(updated.and_then(|time| time.0.checked_add(life).ok()));
    }
    if conditions.iter().any(|condition| condition.type_ == "Approved") {
        ends.extend(issued.and_then(expiry));
    }
    ends.into_iter().min()
}

fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate).ok()?;
    let parsed = pem.parse_x509().ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::certificates::{request, with};
    use crate::testing::{at, lines, plan, time, view};

    #[test]
    fn old_requests_go() {
        let check = |status: Value, second: i64, again: Option<i64>| {
            let object = with(request("jane", &[], "example.com/x"), "/status", status);
            let resource = &resources::CERTIFICATE_SIGNING_REQUESTS;
            let view = view(&[object]);
            let plan = plan(&CertificateCleaning, &view, resource, ("", "r"), second);
            let gone: &[&str] =
                if again.is_none() { &["delete certificatesigningrequests r"] } else { &[] };
            assert_eq!(
                (lines(&plan), plan.again),
                (gone.iter().map(|l| (*l).into()).collect(), again.map(at))
            );
        };
        let (hour, day) = (3600, 24 * 3600);
        let condition =
            |kind: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": time(10)}]);
        check(json!({}), 100, Some(day));
        check(json!({}), day, None);
        check(json!({"conditions": condition("Denied")}), 100, Some(hour + 10));
        check(json!({"conditions": condition("Denied")}), hour + 10, None);
        check(json!({"conditions": condition("Approved")}), 100, Some(day + 10));
        let issued = json!({"conditions": condition("Approved"), "certificate": "eA=="});
        check(issued, 100, Some(hour + 10));
    }
}
