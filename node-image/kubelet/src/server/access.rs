//! Who may use the server: a certificate of the cluster's CA or a bearer token says who asks, and
//! the API server says whether they may (upstream's webhook modes,
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/>).

use http::Method;
use http::request::Parts;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::lookup::Refusal;

/// Members may do everything; asking would only cost time.
const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Caller {
    name: String,
    groups: Vec<String>,
}

/// Checks requests with the API server.
#[derive(Clone)]
pub(super) struct Access {
    client: kube::Client,
    node: String,
}

impl Access {
    pub(super) fn new(client: kube::Client, node: String) -> Access {
        Access { client, node }
    }

    /// Ok when this request is allowed.
    pub(super) async fn check(
        &self,
        parts: &Parts,
        certificate: Option<&CertificateDer<'static>>,
    ) -> Result<(), Refusal> {
        let caller = match certificate.and_then(caller_of) {
            Some(caller) => caller,
            None => self.caller_by_token(parts).await?,
        };
        if caller.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        self.authorize(parts, caller).await
    }

    async fn caller_by_token(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let unauthorized = || Refusal::new(401, "Unauthorized");
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|h| h.to_str().ok());
        let token = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or_else(unauthorized)?;
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: None },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answered = api.create(&PostParams::default(), &review).await;
        let status = answered.map_err(unavailable)?.status.ok_or_else(unauthorized)?;
        let user = status.user.filter(|_| status.authenticated == Some(true));
        let user = user.ok_or_else(unauthorized)?;
        Ok(Caller {
            name: user.username.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        })
    }

    /// Any of the parts that a path is of will do.
    async fn authorize(&self, parts: &Parts, caller: Caller) -> Result<(), Refusal> {
        let (verb, subresources) = attributes(&parts.method, parts.uri.path());
        for subresource in &subresources {
            if self.allows(&caller, verb, subresource).await? {
                return Ok(());
            }
        }
        let name = &caller.name;
        let subresources = subresources.join(",");
        Err(Refusal::new(
            403,
            format!(
                "Forbidden (user={name}, verb={verb}, resource=nodes, \
                 subresource({subresources}))"
            ),
        ))
    }

    async fn allows(&self, caller: &Caller, verb: &str, part: &str) -> Result<bool, Refusal> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(caller.name.clone()),
                groups: Some(caller.groups.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".into()),
                    resource: Some("nodes".into()),
                    subresource: Some(part.to_owned()),
                    name: Some(self.node.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answered = api.create(&PostParams::default(), &review).await.map_err(unavailable)?;
        Ok(answered.status.is_some_and(|status| status.allowed))
    }
}

fn unavailable(error: kube::Error) -> Refusal {
    Refusal::new(500, format!("the API server cannot be asked about this request: {error}"))
}

/// User and groups of a verified client certificate: its common name and organizations.
fn caller_of(certificate: &CertificateDer<'static>) -> Option<Caller> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization();
    Some(Caller {
        name,
        groups: groups.filter_map(|o| Some(o.as_str().ok()?.to_owned())).collect(),
    })
}

/// What upstream's kubelet asks about: the verb by method, and the parts of the node by path.
fn attributes(method: &Method, path: &str) -> (&'static str, Vec<&'static str>) {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    const PARTS: [(&str, &[&str]); 8] = [
        ("/stats", &["stats"]),
        ("/metrics", &["metrics"]),
        ("/logs", &["log"]),
        ("/checkpoint", &["checkpoint"]),
        ("/configz", &["configz", "proxy"]),
        ("/healthz", &["healthz", "proxy"]),
        ("/pods", &["pods", "proxy"]),
        ("/runningpods", &["pods", "proxy"]),
    ];
    let is_under = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    let parts = PARTS.iter().find(|(prefix, _)| is_under(prefix));
    (verb, parts.map_or(&["proxy"][..], |(_, parts)| parts).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parts_of_the_node() {
        let check = |path, expected: &[&str]| {
            assert_eq!(attributes(&Method::GET, path).1, expected);
        };
        check("/stats/summary", &["stats"]);
        check("/metrics/cadvisor", &["metrics"]);
        check("/exec/a/b/c", &["proxy"]);
        check("/logs", &["log"]);
        check("/logsx", &["proxy"]);
        check("/runningpods/", &["pods", "proxy"]);
        assert_eq!(attributes(&Method::POST, "/run/a").0, "create");
    }

    #[test]
    fn a_certificate_names_user_and_groups() {
        let authority = kd_contract::pki::ClusterAuthority::generate("t").unwrap();
        let issued = authority.issue_client("system:node:a", &["system:nodes"]).unwrap();
        let mut pem = issued.certificate_pem.as_bytes();
        use rustls::pki_types::pem::PemObject;
        let der = CertificateDer::from_pem_reader(&mut pem).unwrap();
        let caller = caller_of(&der).unwrap();
        assert_eq!(caller.name, "system:node:a");
        assert_eq!(caller.groups, ["system:nodes"]);
    }
}
