//! `serviceaccounts/token`: a TokenRequest becomes a token.

use std::sync::Arc;

use kd_api::object::format_time;
use kd_api::{FieldError, Object, Path, Status};
use serde_json::{Value, json};

use super::{Grant, ISSUER, ServiceAccountTokens, default_audiences};

const LIFETIME_SECONDS_DEFAULT: i64 = 60 * 60;
const LIFETIME_SECONDS_MIN: i64 = 10 * 60;
const LIFETIME_SECONDS_MAX: i64 = 1 << 32;
/// Kubelets ask for this lifetime for the token of a pod; such a token lives longer, and clients that
/// never read it again are only warned about.
const PROJECTED_LIFETIME_SECONDS: i64 = 3607;
const EXTENDED_LIFETIME_SECONDS: i64 = 365 * 24 * 60 * 60;

impl ServiceAccountTokens {
    /// Answers a TokenRequest for a ServiceAccount.
    pub fn request(
        &self,
        namespace: &str,
        name: &str,
        mut request: Value,
    ) -> Result<Value, Status> {
        let account = self
            .reader
            .get("", "serviceaccounts", namespace, name)
            .ok_or_else(|| Status::not_found("", "serviceaccounts", name))?;
        let lifetime_seconds =
            request.i64_at(&["spec", "expirationSeconds"]).unwrap_or(LIFETIME_SECONDS_DEFAULT);
        check_lifetime(name, lifetime_seconds)?;
        let audiences = audiences(&request);
        let bound = self.bound_object(namespace, name, &request["spec"]["boundObjectRef"])?;
        let to_pod = bound.as_ref().filter(|(kind, _)| *kind == "pod");
        let node = to_pod.and_then(|(_, pod)| self.node_of(pod));
        let extended = to_pod.is_some()
            && lifetime_seconds == PROJECTED_LIFETIME_SECONDS
            && audiences == [ISSUER];
        let now = (self.clock)();
        let token = self.issue(&Grant {
            account: &account,
            node,
            bound,
            audiences: &audiences,
            now: now.as_second(),
            lifetime_seconds: if extended { EXTENDED_LIFETIME_SECONDS } else { lifetime_seconds },
            warn_after_seconds: extended.then_some(lifetime_seconds),
        });
        let token = token.ok_or_else(|| Status::internal("no randomness to sign a token with"))?;
        request.set_name(name);
        request.set_namespace(namespace);
        request.set_creation_timestamp(now);
        request.set_at(&["spec", "audiences"], json!(audiences));
        request.set_at(&["spec", "expirationSeconds"], lifetime_seconds.into());
        let expiry = now + jiff::SignedDuration::from_secs(lifetime_seconds);
        request["status"] = json!({"token": token, "expirationTimestamp": format_time(expiry)});
        Ok(request)
    }

    /// The kind (as in the claims) and object a token shall be bound to.
    fn bound_object(
        &self,
        namespace: &str,
        account: &str,
        reference: &Value,
    ) -> Result<Option<(&'static str, Arc<Value>)>, Status> {
        if !reference.is_object() {
            return Ok(None);
        }
        let kind = reference.str_at(&["kind"]);
        let (claim, resource, scope) = match (reference.str_at(&["apiVersion"]), kind) {
            ("v1", "Pod") => ("pod", "pods", namespace),
            ("v1", "Secret") => ("secret", "secrets", namespace),
            ("v1", "Node") => ("node", "nodes", ""),
            (version, _) => {
                let (group, version) = version.split_once('/').unwrap_or(("", version));
                let shown = format!("{group}/{version}, Kind={kind}");
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {shown}"
                )));
            }
        };
        let name = reference.str_at(&["name"]);
        let object = self
            .reader
            .get("", resource, scope, name)
            .ok_or_else(|| Status::not_found("", resource, name))?;
        if claim == "pod" && object.str_at(&["spec", "serviceAccountName"]) != account {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
            )));
        }
        let uid = reference.str_at(&["uid"]);
        if !uid.is_empty() && uid != object.uid() {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict("", kind, name, &why));
        }
        Ok(Some((claim, object)))
    }

    fn node_of(&self, pod: &Value) -> Option<Value> {
        let name = pod.str_at(&["spec", "nodeName"]);
        if name.is_empty() {
            return None;
        }
        let node = self.reader.get("", "nodes", "", name);
        Some(match node {
            Some(node) => json!({"name": name, "uid": node.uid()}),
            None => json!({"name": name}),
        })
    }
}

fn audiences(request: &Value) -> Vec<String> {
    let asked = request.list_at(&["spec", "audiences"]).iter();
    let asked: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
    if asked.is_empty() { default_audiences() } else { asked }
}

fn check_lifetime(name: &str, seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        ..LIFETIME_SECONDS_MIN => "may not specify a duration less than 10 minutes",
        LIFETIME_SECONDS_MIN..=LIFETIME_SECONDS_MAX => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let field = Path::new("spec").child("expirationSeconds");
    let error = FieldError::invalid(field, seconds, why);
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", name, &[error]))
}
