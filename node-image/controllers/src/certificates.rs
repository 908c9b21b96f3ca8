//! CertificateSigningRequests as their controllers read them: the request inside, and what kubelets
//! may ask for.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kd_client::{Object, View, resources};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::Target;

pub(crate) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";

/// Who asks for a certificate, for which names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) dns_names: usize,
    pub(crate) addresses: usize,
    pub(crate) emails: usize,
    pub(crate) uris: usize,
}

impl Asked {
    /// What a request (PEM) asks for.
    pub(crate) fn of(pem: &[u8]) -> Option<Asked> {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
        if block.label != REQUEST_LABEL {
            return None;
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
        let subject = &request.certification_request_info.subject;
        let common_name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
        let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok());
        let mut asked = Asked {
            common_name: common_name.unwrap_or_default().to_owned(),
            organizations: organizations.map(str::to_owned).collect(),
            ..Asked::default()
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                names.general_names.iter().for_each(|name| asked.count(name));
            }
        }
        Some(asked)
    }

    fn count(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(_) => self.dns_names += 1,
            GeneralName::IPAddress(_) => self.addresses += 1,
            GeneralName::RFC822Name(_) => self.emails += 1,
            GeneralName::URI(_) => self.uris += 1,
            _ => {}
        }
    }

    fn check_node(&self, usages: &[String], purpose: &str) -> Result<(), String> {
        let all = [purpose, "digital signature", "key encipherment"];
        let holds = |usage: &str| usages.iter().any(|other| other == usage);
        let known = usages.iter().all(|usage| all.contains(&usage.as_str()));
        if !known || !holds(purpose) || !holds("digital signature") {
            let mut wanted = all;
            wanted.sort_unstable();
            return Err(format!("usages did not match [{}]", wanted.join(" ")));
        }
        Ok(())
    }

    fn check_name(&self) -> Result<(), String> {
        match self.common_name.starts_with("system:node:") {
            true => Ok(()),
            false => Err("subject common name does not begin with system:node:".into()),
        }
    }

    fn check_organization(&self) -> Result<(), String> {
        match self.organizations == ["system:nodes"] {
            true => Ok(()),
            false => Err("subject organization is not system:nodes".into()),
        }
    }

    /// Whether it is for a kubelet that speaks to the API server.
    pub(crate) fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        let counts = [
            (self.dns_names, "DNS"),
            (self.emails, "Email"),
            (self.addresses, "IP"),
            (self.uris, "URI"),
        ];
        if let Some((_, kind)) = counts.iter().find(|(count, _)| *count > 0) {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
        self.check_name()?;
        self.check_node(usages, "client auth")
    }

    /// Whether it is for a kubelet's own server.
    pub(crate) fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        if self.dns_names == 0 && self.addresses == 0 {
            return Err("DNS or IP subjectAltName is required".into());
        }
        let counts = [(self.emails, "Email"), (self.uris, "URI")];
        if let Some((_, kind)) = counts.iter().find(|(count, _)| *count > 0) {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
        self.check_node(usages, "server auth")?;
        self.check_name()
    }
}

/// The request that a controller looks at.
pub(crate) fn request_of<'a>(
    view: &'a View,
    target: &Target,
) -> Option<(&'a Object, CertificateSigningRequest)> {
    let object = view.object(&resources::CERTIFICATE_SIGNING_REQUESTS, &target.key)?;
    Some((object, object.decode()?))
}

/// Whether it has a condition of a type.
pub(crate) fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind)
}

/// The certificate that was issued.
pub(crate) fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = &request.status.as_ref()?.certificate.as_ref()?.0;
    (!certificate.is_empty()).then_some(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets() {
        let node = || Asked {
            common_name: "system:node:a".into(),
            organizations: vec!["system:nodes".into()],
            ..Asked::default()
        };
        let all = ["digital signature", "key encipherment"];
        let check = |asked: Asked, purpose: &str, client: &str, serving: &str| {
            let usages: Vec<String> = all.iter().chain([&purpose]).map(|u| (*u).into()).collect();
            let say = |result: Result<(), String>| result.err().unwrap_or_default();
            assert_eq!(say(asked.check_kubelet_client(&usages)), client);
            assert_eq!(say(asked.check_kubelet_serving(&usages)), serving);
        };
        let names = "DNS or IP subjectAltName is required";
        check(node(), "client auth", "", names);
        let no_dns = "DNS subjectAltNames are not allowed";
        check(Asked { dns_names: 1, ..node() }, "server auth", no_dns, "");
        let other = Asked { organizations: vec!["x".into()], ..node() };
        let why = "subject organization is not system:nodes";
        check(other, "client auth", why, why);
        let client = "usages did not match [client auth digital signature key encipherment]";
        check(node(), "any", client, names);
        let person = Asked { common_name: "x".into(), addresses: 1, uris: 1, ..node() };
        let (ip, uri) =
            ("IP subjectAltNames are not allowed", "URI subjectAltNames are not allowed");
        check(person, "client auth", ip, uri);
    }
}
