//! CertificateSigningRequests.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::check::{Errors, immutable, problems};
use super::names;
use super::workload::spec_path;
use crate::walk::Walk;
use crate::{FieldError, Path};

const SECONDS_MIN: i64 = 600;
const SIGNER_NAME_MAX: usize = 571;
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
/// Conditions that are never taken back.
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

const KEY_USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    request(errors, spec.text("request"), &path.child("request"));
    let usages = spec.list("usages");
    if usages.is_empty() {
        errors.push(FieldError::required(path.child("usages"), ""));
    }
    for (index, usage) in usages.iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("usages").index(index);
        if !KEY_USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(path, usage, KEY_USAGES));
        } else if usages[..index].iter().any(|other| other == usage) {
            errors.push(FieldError::duplicate(path, usage));
        }
    }
    signer_name(errors, spec.text("signerName"), &path.child("signerName"));
    if let Some(seconds) = spec.integer("expirationSeconds").filter(|s| *s < SECONDS_MIN) {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, text));
    }
}

fn request(errors: &mut Errors, text: &str, path: &Path) {
    let pem = BASE64_STANDARD.decode(text).unwrap_or_default();
    if pem_block(&pem, "CERTIFICATE REQUEST").is_none() {
        let why = "PEM block type must be CERTIFICATE REQUEST";
        errors.push(FieldError::invalid(path.clone(), text, why));
    }
}

/// The bytes of the first block, if it is of this type.
fn pem_block(pem: &[u8], kind: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let rest = text[text.find("-----BEGIN ")?..].strip_prefix(&begin)?;
    let body: String = rest[..rest.find(&end)?].split_whitespace().collect();
    BASE64_STANDARD.decode(body).ok()
}

fn signer_name(errors: &mut Errors, name: &str, path: &Path) {
    if name == LEGACY_SIGNER {
        let text = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(path.clone(), name, text));
        return;
    }
    let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    match name.split_once('/') {
        _ if name.is_empty() => errors.push(FieldError::required(path.clone(), "")),
        Some((domain, rest)) if !rest.is_empty() && !rest.contains('/') => {
            problems(errors, path, name, names::dns_subdomain(domain));
            problems(errors, path, name, names::dns_subdomain(rest));
            if !domain.contains('.') {
                let text = "should be a domain with at least two segments separated by dots";
                errors.push(FieldError::invalid(path.clone(), domain, text));
            }
        }
        _ => errors.push(FieldError::invalid(path.clone(), name, text)),
    }
    if name.len() > SIGNER_NAME_MAX {
        errors.push(FieldError::too_long(path.clone(), SIGNER_NAME_MAX));
    }
}

/// Through the object itself: nothing but its metadata.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["spec"], &old["spec"], &spec_path());
}

/// Through `approval`: the decision.
pub(super) fn approval(errors: &mut Errors, new: &Value, old: &Value) {
    update(errors, new, old);
    conditions(errors, new, old);
    if new["status"]["certificate"] != old["status"]["certificate"] {
        let text = "updates may not set certificate content";
        errors.push(FieldError::forbidden(Path::new("status").child("certificate"), text));
    }
}

/// Through `status`: the certificate and the signer's own conditions.
pub(super) fn status(errors: &mut Errors, new: &Value, old: &Value) {
    update(errors, new, old);
    conditions(errors, new, old);
    let path = Path::new("status").child("certificate");
    let (now, before) = (new["status"].text("certificate"), old["status"].text("certificate"));
    if now == before {
        return;
    }
    if !before.is_empty() {
        let text = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden(path, text));
        return;
    }
    let pem = BASE64_STANDARD.decode(now).unwrap_or_default();
    if pem_block(&pem, "CERTIFICATE").is_none() {
        let text = "must contain at least one CERTIFICATE PEM block";
        errors.push(FieldError::invalid(path, "<certificate data>", text));
    }
}

fn conditions(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("status").child("conditions");
    let (now, before) = (new["status"].list("conditions"), old["status"].list("conditions"));
    let has = |list: &[Value], name: &str| list.iter().any(|c| c.text("type") == name);
    let mut seen = HashSet::new();
    for (index, condition) in now.iter().enumerate() {
        let path = path.index(index);
        let (name, status) = (condition.text("type"), condition.text("status"));
        if name.is_empty() {
            errors.push(FieldError::required(path.child("type"), ""));
        }
        let allowed = if LASTING.contains(&name) { &["True"][..] } else { &STATUSES };
        if status.is_empty() {
            errors.push(FieldError::required(path.child("status"), ""));
        } else if !allowed.contains(&status) {
            errors.push(FieldError::not_supported(path.child("status"), status, allowed));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("type"), name));
        }
    }
    if has(now, "Approved") && has(now, "Denied") {
        let text = "Approved and Denied conditions are mutually exclusive";
        errors.push(FieldError::invalid(path.clone(), "Denied", text));
    }
    for name in LASTING {
        if has(before, name) && !has(now, name) {
            let text = format!("updates may not remove a condition of type {name:?}");
            errors.push(FieldError::forbidden(path.clone(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    fn encoded(kind: &str) -> String {
        BASE64_STANDARD.encode(format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n"))
    }

    #[test]
    fn requests() {
        let check = |spec: Value, want: &[&str]| {
            let mut errors = Errors::new();
            create(&mut errors, &json!({ "spec": spec }));
            assert_eq!(texts(&errors), want);
        };
        let request = encoded("CERTIFICATE REQUEST");
        let signer = "kubernetes.io/kube-apiserver-client";
        check(json!({"request": request, "usages": ["client auth"], "signerName": signer}), &[]);
        check(
            json!({"request": "eA==", "usages": ["client auth", "fun"], "signerName": "me/too", "expirationSeconds": 5}),
            &[
                r#"spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST"#,
                &format!(
                    r#"spec.usages[1]: Unsupported value: "fun": supported values: {}"#,
                    KEY_USAGES.iter().map(|u| format!("{u:?}")).collect::<Vec<_>>().join(", ")
                ),
                r#"spec.signerName: Invalid value: "me": should be a domain with at least two segments separated by dots"#,
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        );
    }

    #[test]
    fn decisions() {
        let condition = |name: &str| json!({"type": name, "status": "True"});
        let check = |old: Value, new: Value, want: &[&str]| {
            let mut errors = Errors::new();
            approval(&mut errors, &json!({ "status": new }), &json!({ "status": old }));
            assert_eq!(texts(&errors), want);
        };
        check(json!({}), json!({"conditions": [condition("Approved")]}), &[]);
        check(
            json!({"conditions": [condition("Approved")]}),
            json!({"conditions": [{"type": "Denied", "status": "False"}], "certificate": "eA=="}),
            &[
                r#"status.conditions[0].status: Unsupported value: "False": supported values: "True""#,
                r#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#,
                "status.certificate: Forbidden: updates may not set certificate content",
            ],
        );
        let mut errors = Errors::new();
        let certificate = json!({"status": {"certificate": encoded("CERTIFICATE")}});
        status(&mut errors, &certificate, &json!({}));
        assert_eq!(texts(&errors), [""; 0]);
    }
}
