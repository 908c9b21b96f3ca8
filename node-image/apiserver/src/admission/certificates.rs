//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: a signer's name is a
//! right of its own.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_api::{Object, Status};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::forbidden;
use crate::authz::{SUPERUSERS, UnionAuthorizer};
use crate::request::{
    AdmissionAttributes, AdmissionPlugin, Authorizer, Decision, Operation, RequestInfo,
};

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// `approve` on the signer is needed for `/approval`.
pub(super) struct CertificateApproval {
    authorizer: Arc<UnionAuthorizer>,
}

/// `sign` on the signer is needed for `/status`.
pub(super) struct CertificateSigning {
    authorizer: Arc<UnionAuthorizer>,
}

/// Nobody becomes a superuser by a certificate.
pub(super) struct CertificateSubjectRestriction;

impl CertificateApproval {
    pub(super) fn new(authorizer: Arc<UnionAuthorizer>) -> Self {
        Self { authorizer }
    }
}

impl CertificateSigning {
    pub(super) fn new(authorizer: Arc<UnionAuthorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl AdmissionPlugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        if !attributes.is(GROUP, RESOURCE, "approval") {
            return Ok(());
        }
        demand_signer(&self.authorizer, attributes, "approve").await
    }
}

#[async_trait]
impl AdmissionPlugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let Some(old) =
            attributes.old.as_ref().filter(|_| attributes.is(GROUP, RESOURCE, "status"))
        else {
            return Ok(());
        };
        let certificate = |object: &Value| object.at(&["status", "certificate"]).cloned();
        let conditions = |object: &Value| object.list_at(&["status", "conditions"]).to_vec();
        let same = certificate(old) == certificate(&attributes.object)
            && conditions(old) == conditions(&attributes.object);
        if same { Ok(()) } else { demand_signer(&self.authorizer, attributes, "sign").await }
    }
}

#[async_trait]
impl AdmissionPlugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let request = &attributes.object;
        if !attributes.is(GROUP, RESOURCE, "")
            || request.str_at(&["spec", "signerName"]) != CLIENT_SIGNER
        {
            return Ok(());
        }
        let Some(organizations) = organizations(request.str_at(&["spec", "request"])) else {
            return Err(forbidden(attributes, "failed to parse CSR: unreadable PEM or request"));
        };
        if organizations.iter().any(|organization| organization == SUPERUSERS) {
            let why =
                format!("use of {CLIENT_SIGNER} signer with {SUPERUSERS} group is not allowed");
            return Err(forbidden(attributes, why));
        }
        Ok(())
    }
}

async fn demand_signer(
    authorizer: &UnionAuthorizer,
    attributes: &AdmissionAttributes<'_>,
    verb: &str,
) -> Result<(), Status> {
    let request = attributes.old.as_deref().unwrap_or(&attributes.object);
    let signer = request.str_at(&["spec", "signerName"]);
    let domain = signer.split('/').next().unwrap_or("");
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let info = RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..RequestInfo::default()
        };
        if matches!(authorizer.authorize(attributes.user, &info).await, Decision::Allow(_)) {
            return Ok(());
        }
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(forbidden(attributes, why))
}

/// The organizations in the subject of `spec.request` (base64 of PEM).
fn organizations(request: &str) -> Option<Vec<String>> {
    let pem = BASE64_STANDARD.decode(request).ok()?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).ok()?;
    let (_, parsed) = X509CertificationRequest::from_der(&der).ok()?;
    let subject = parsed.certification_request_info.subject;
    let names = subject.iter_organization().filter_map(|name| name.as_str().ok());
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    #[tokio::test]
    async fn approval_needs_the_signer() {
        let granted = [
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"},
             "rules": [{"verbs": ["approve"], "apiGroups": [GROUP], "resources": ["signers"], "resourceNames": ["example.com/*"]}]}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
             "roleRef": {"kind": "ClusterRole", "name": "c"}, "subjects": [{"kind": "User", "name": "x"}]}),
        ];
        let plugin =
            CertificateApproval::new(Arc::new(UnionAuthorizer::new(FakeReader::with(granted))));
        let (info, who) = (
            resource_info(
                "update",
                "certificates.k8s.io:certificatesigningrequests/approval",
                "",
                "r",
            ),
            user("x", &[]),
        );
        for (signer, expect) in [
            ("example.com/mine", "ok"),
            (
                "other.com/mine",
                "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with signerName \"other.com/mine\"",
            ),
        ] {
            let attributes =
                attributes(Operation::Update, &info, &who, json!({"spec": {"signerName": signer}}));
            let got =
                plugin.validate(&attributes).await.map_or_else(|s| s.message, |()| "ok".into());
            assert_eq!(got, expect);
        }
    }
}
