//! What is called: a place, a path, and whom TLS believes there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kd_api::Object;
use serde_json::Value;

use super::WebhookError;
use super::trust::Identity;

/// The port of a Service or a URL that names none.
const HTTPS_PORT: u16 = 443;

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A host, by name or address.
    Host(String, u16),
    /// A Service of the cluster: one of its ready endpoints.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The number of its port.
        port: u16,
    },
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where to connect.
    pub place: Place,
    /// `https://host:port`, as errors show it.
    pub origin: String,
    /// With its leading slash.
    pub path: String,
    /// Whom the serving certificate must name.
    pub server_name: String,
    /// Who must have signed it, PEM; empty for the public authorities.
    pub authorities: Vec<u8>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// How this server shows itself.
    pub identity: Option<Identity>,
    /// The token to send, may be empty.
    pub bearer_token: String,
}

impl Target {
    /// Of a `clientConfig` of a webhook configuration or a CustomResourceDefinition.
    pub fn of_client_config(config: &Value) -> Result<Target, WebhookError> {
        let authorities = match config.str_at(&["caBundle"]) {
            "" => Vec::new(),
            text => STANDARD.decode(text).map_err(|error| {
                WebhookError::Configuration(format!("unable to load root certificates: {error}"))
            })?,
        };
        match config.get("service").filter(|service| service.is_object()) {
            Some(service) => Ok(Target::of_service(service, authorities)),
            None => match config.str_at(&["url"]) {
                "" => Err(WebhookError::Configuration(
                    "webhook configuration must have either service or URL".into(),
                )),
                url => Target::of_url(url, authorities),
            },
        }
    }

    fn of_service(service: &Value, authorities: Vec<u8>) -> Target {
        let (namespace, name) = (service.str_at(&["namespace"]), service.str_at(&["name"]));
        let port = service.i64_at(&["port"]).and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|port| *port != 0).unwrap_or(HTTPS_PORT);
        let server_name = format!("{name}.{namespace}.svc");
        let place = Place::Service { namespace: namespace.into(), name: name.into(), port };
        Target {
            place,
            origin: format!("https://{server_name}:{port}"),
            path: rooted(service.str_at(&["path"])),
            server_name,
            authorities,
            insecure: false,
            identity: None,
            bearer_token: String::new(),
        }
    }

    /// Of a URL; it may hold no query, which is the caller's.
    pub fn of_url(url: &str, authorities: Vec<u8>) -> Result<Target, WebhookError> {
        let unparsable = |why: String| {
            WebhookError::Configuration(format!("Unparsable webhook URL {url:?}: {why}"))
        };
        let uri: Uri = url.parse().map_err(|error| unparsable(format!("{error}")))?;
        if uri.scheme_str() != Some("https") {
            return Err(unparsable("it is not https".into()));
        }
        let host = uri.host().ok_or_else(|| unparsable("it has no host".into()))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Target {
            place: Place::Host(bare.clone(), uri.port_u16().unwrap_or(HTTPS_PORT)),
            origin: format!("https://{authority}"),
            path: rooted(uri.path()),
            server_name: bare,
            authorities,
            insecure: false,
            identity: None,
            bearer_token: String::new(),
        })
    }
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places() {
        let check = |config: Value, expect: &str| {
            let got = match Target::of_client_config(&config) {
                Ok(target) => {
                    format!(
                        "{:?} {}{} {}",
                        target.place, target.origin, target.path, target.server_name
                    )
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expect);
        };
        check(
            json!({"service": {"namespace": "ns", "name": "hook", "path": "/mutate"}}),
            r#"Service { namespace: "ns", name: "hook", port: 443 } https://hook.ns.svc:443/mutate hook.ns.svc"#,
        );
        check(
            json!({"service": {"namespace": "ns", "name": "hook", "port": 8443}}),
            r#"Service { namespace: "ns", name: "hook", port: 8443 } https://hook.ns.svc:8443/ hook.ns.svc"#,
        );
        check(
            json!({"url": "https://hooks.example.com/a/b"}),
            r#"Host("hooks.example.com", 443) https://hooks.example.com/a/b hooks.example.com"#,
        );
        check(json!({"url": "https://[::1]:9"}), r#"Host("::1", 9) https://[::1]:9/ ::1"#);
        check(
            json!({"url": "http://a"}),
            r#"could not get REST client: Unparsable webhook URL "http://a": it is not https"#,
        );
        check(
            json!({}),
            "could not get REST client: webhook configuration must have either service or URL",
        );
    }
}
