//! How a server asks for credentials, and the tokens that it sends clients elsewhere for
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, Url};
use serde::Deserialize;

use super::session::{Refusal, body, refusal_of};
use crate::RegistryAuth;

/// What a `WWW-Authenticate` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

impl Challenge {
    /// Of all challenges of an answer, the one that can be met.
    pub(super) fn of(headers: &[&str], repository: &str) -> Option<Challenge> {
        let mut basic = None;
        for header in headers {
            let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
            if scheme.eq_ignore_ascii_case("bearer") {
                let mut values = parameters(rest);
                let realm = values.remove("realm")?;
                let service = values.remove("service").unwrap_or_default();
                let asked = values.remove("scope").filter(|scope| !scope.is_empty());
                let scope = asked.unwrap_or_else(|| format!("repository:{repository}:pull"));
                return Some(Challenge::Bearer { realm, service, scope });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
        basic
    }

    /// The `Authorization` header that these credentials earn.
    pub(super) async fn meet(
        &self,
        client: &Client,
        auth: &RegistryAuth,
    ) -> Result<String, Refusal> {
        match self {
            Challenge::Basic if auth.username.is_empty() && auth.password.is_empty() => {
                Err(Refusal::Unauthorized("it wants a user name and a password".to_owned()))
            }
            Challenge::Basic => Ok(basic(auth)),
            Challenge::Bearer { realm, service, scope } => {
                let token = token(client, auth, realm, service, scope).await?;
                Ok(format!("Bearer {token}"))
            }
        }
    }
}

fn basic(auth: &RegistryAuth) -> String {
    let pair = format!("{}:{}", auth.username, auth.password);
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// `name="value"` and `name=value`, separated by commas.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.trim().to_owned());
        rest = left;
    }
    found
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    client: &Client,
    auth: &RegistryAuth,
    realm: &str,
    service: &str,
    scope: &str,
) -> Result<String, Refusal> {
    let unavailable = |what: String| Refusal::Unavailable(format!("token server {realm}: {what}"));
    let fields = [("service", service), ("scope", scope)];
    let request = match auth.identity_token.is_empty() {
        // An identity token is one to refresh with; it goes in the body, never in an address.
        false => {
            let fields = fields.into_iter().chain([
                ("grant_type", "refresh_token"),
                ("client_id", "kd"),
                ("refresh_token", auth.identity_token.as_str()),
            ]);
            let form = encoded(fields);
            let form_type = "application/x-www-form-urlencoded";
            client.post(realm).header("content-type", form_type).body(form)
        }
        true => {
            let mut url = Url::parse(realm).map_err(|error| unavailable(error.to_string()))?;
            url.query_pairs_mut()
                .extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
            let request = client.get(url);
            match auth.username.is_empty() && auth.password.is_empty() {
                true => request,
                false => request.header("authorization", basic(auth)),
            }
        }
    };
    let sent = request.send().await;
    let mut answer = sent.map_err(|error| unavailable(super::super::chain(&error)))?;
    if !answer.status().is_success() {
        return Err(refusal_of(answer).await);
    }
    let bytes = body(&mut answer).await.map_err(unavailable)?;
    let parsed: Token =
        serde_json::from_slice(&bytes).map_err(|error| unavailable(error.to_string()))?;
    let token = parsed.token.filter(|token| !token.is_empty()).or(parsed.access_token);
    token.ok_or_else(|| unavailable("its answer holds no token".to_owned()))
}

fn encoded<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    // The query of an address is written as forms are.
    let Ok(mut url) = Url::parse("form:/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let check = |headers: &[&str], expect: Option<Challenge>| {
            assert_eq!(Challenge::of(headers, "a/b"), expect, "{headers:?}");
        };
        let bearer = |realm: &str, service: &str, scope: &str| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.to_owned(),
                scope: scope.to_owned(),
            })
        };
        let hub = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        check(
            &[hub],
            bearer("https://auth.example/token", "r.example", "repository:a/b:pull,push"),
        );
        check(&["bearer realm=https://t"], bearer("https://t", "", "repository:a/b:pull"));
        check(&[r#"Basic realm="x""#], Some(Challenge::Basic));
        check(&["Basic", hub], Challenge::of(&[hub], "a/b"));
        check(&["Bearer service=x"], None);
        check(&["Negotiate"], None);
        check(&[], None);
    }

    #[test]
    fn forms() {
        let fields = [("a", "b c"), ("d", "e&f=g")];
        assert_eq!(encoded(fields.into_iter()), "a=b+c&d=e%26f%3Dg");
    }
}
