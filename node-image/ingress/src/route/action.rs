//! What is done with a request that a rule is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// What is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Action {
    /// The answer is where to go.
    pub redirect: Option<Redirect>,
    /// What the backend is asked instead.
    pub rewrite: Option<Rewrite>,
    /// Changes of the request's headers.
    pub request_headers: HeaderChanges,
    /// Changes of the answer's headers.
    pub response_headers: HeaderChanges,
    /// Who hears the request besides; nobody waits for their answers.
    pub mirrors: Vec<Mirror>,
    /// Who answers.
    pub targets: Vec<Target>,
    /// How long the answer may take to begin; as usual otherwise.
    pub timeout: Option<Duration>,
}

/// Who hears requests besides.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    /// Who.
    pub backend: Arc<Backend>,
    /// Which part of all, as a fraction; all otherwise.
    pub share: Option<(u32, u32)>,
}

/// A share of the requests.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its weight.
    pub weight: u32,
    /// Who answers, or the status of the answer when there is nobody.
    pub backend: Result<Arc<Backend>, StatusCode>,
    /// Changes of the headers of requests to it.
    pub request_headers: HeaderChanges,
    /// Changes of the headers of its answers.
    pub response_headers: HeaderChanges,
}

impl Target {
    /// The only one there is.
    pub(crate) fn only(backend: Result<Backend, StatusCode>) -> Target {
        Target {
            weight: 1,
            backend: backend.map(Arc::new),
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
        }
    }
}

/// A Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Spreads the turns of Services over counters.
    pub turn: usize,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who answers.
    pub endpoints: Vec<SocketAddr>,
    /// Who answers instead, for a Service that is only a name.
    pub external: Option<External>,
}

/// A port of a host outside of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// Its name, or its address.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// HTTP/1.1; gRPC goes by HTTP/2.
    #[default]
    Http,
    /// HTTP/2 without TLS (KEP-3726: `kubernetes.io/h2c`).
    Http2,
    /// HTTP/1.1 over TLS. Who it is, is not verified: nobody says what its name is.
    Https,
}

/// Changes of headers, in this order: set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderChanges {
    /// Replaced.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Removed.
    pub remove: Vec<HeaderName>,
}

impl HeaderChanges {
    /// Makes the changes.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// Where to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// Another scheme.
    pub scheme: Option<String>,
    /// Another host.
    pub host: Option<String>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<PathChange>,
    /// The answer's status.
    pub status: StatusCode,
}

impl Redirect {
    /// The URL for a request. `port` is the one that was asked, unless it is its scheme's own.
    pub(crate) fn location(
        &self,
        scheme: &str,
        host: &str,
        port: Option<u16>,
        path: &str,
        query: Option<&str>,
    ) -> String {
        let path = self.path.as_ref().map_or(path.to_owned(), |change| change.of(path));
        let port = match (self.port, &self.scheme) {
            (Some(port), _) => Some(port),
            // Another scheme has its own port.
            (None, Some(_)) => None,
            (None, None) => port,
        };
        let scheme = self.scheme.as_deref().unwrap_or(scheme);
        let host = self.host.as_deref().unwrap_or(host);
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = port.filter(|port| *port != usual).map(|port| format!(":{port}"));
        let query = query.map(|query| format!("?{query}"));
        format!("{scheme}://{host}{}{path}{}", port.unwrap_or_default(), query.unwrap_or_default())
    }
}

/// What the backend is asked instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// Another host.
    pub host: Option<String>,
    /// Another path.
    pub path: Option<PathChange>,
}

/// Another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathChange {
    /// The whole path.
    Full(String),
    /// What the rule matched (without its final slash), and what stands there instead.
    Prefix(String, String),
}

impl PathChange {
    /// The path instead of one.
    pub(crate) fn of(&self, path: &str) -> String {
        match self {
            PathChange::Full(full) => full.clone(),
            PathChange::Prefix(matched, instead) => {
                let rest = path.strip_prefix(matched.as_str()).unwrap_or(path);
                let joined = format!("{}{rest}", instead.trim_end_matches('/'));
                if joined.starts_with('/') { joined } else { format!("/{joined}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_replaced() {
        // The table of ReplacePrefixMatch in the Gateway API's reference.
        for (path, prefix, instead, expect) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
        ] {
            let change = PathChange::Prefix(prefix.to_owned(), instead.to_owned());
            assert_eq!(change.of(path), expect, "{path} {prefix} {instead}");
        }
    }

    #[test]
    fn redirects() {
        let redirect = Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: StatusCode::FOUND,
        };
        let check = |redirect: &Redirect, port: Option<u16>, expect: &str| {
            assert_eq!(redirect.location("http", "a.com", port, "/x", Some("q=1")), expect);
        };
        check(&redirect, None, "http://a.com/x?q=1");
        check(&redirect, Some(8080), "http://a.com:8080/x?q=1");
        let https = Redirect { scheme: Some("https".into()), ..redirect.clone() };
        check(&https, Some(8080), "https://a.com/x?q=1");
        check(&Redirect { port: Some(8443), ..https.clone() }, None, "https://a.com:8443/x?q=1");
        check(&Redirect { port: Some(443), ..https }, None, "https://a.com/x?q=1");
        let path = Some(PathChange::Full("/y".into()));
        check(
            &Redirect { host: Some("b.com".into()), path, ..redirect },
            None,
            "http://b.com/y?q=1",
        );
    }
}
