//! Requests for a group and version that another server answers.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use http_body_util::BodyExt;

use super::client::RemoteClient;
use super::remote::Remote;
use crate::answer::{self, Answer, RequestBody, full};
use crate::authn::speak_for;
use crate::proxy;
use crate::request::UserInfo;

/// Who fetches OpenAPI documents for others.
const AGGREGATOR: &str = "system:aggregator";

/// Sends a request on, as its user; the answer streams.
pub(crate) async fn forward(
    remote: &Remote,
    user: &UserInfo,
    mut parts: Parts,
    body: RequestBody,
) -> Answer {
    if !remote.is_available() {
        return unavailable("service unavailable");
    }
    let client = match &remote.client {
        Ok(client) => client,
        Err(why) => return answer::text(500, format!("{why}\n")),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let upgrade = parts.headers.get(UPGRADE).cloned();
    prepare(&mut parts.headers, user);
    let sent = match upgrade {
        None => send(client, &path, parts, body).await,
        Some(protocol) => upgraded(client, &path, parts, body, protocol).await,
    };
    sent.unwrap_or_else(|why| unavailable(&format!("error trying to reach service: {why}")))
}

/// A document of the remote server's own, by its path.
pub(crate) async fn forward_document(remote: &Remote, mut parts: Parts) -> Answer {
    let user = UserInfo { username: AGGREGATOR.into(), ..UserInfo::default() };
    parts.headers.remove(UPGRADE);
    forward(remote, &user, parts, full(Bytes::new())).await
}

fn unavailable(why: &str) -> Answer {
    answer::text(503, format!("{why}\n"))
}

/// Leaves nothing of this connection and of the user's credentials.
fn prepare(headers: &mut HeaderMap, user: &UserInfo) {
    proxy::remove_hop_by_hop(headers);
    headers.remove(HOST);
    headers.remove(AUTHORIZATION);
    let is_ours = |name: &&HeaderName| name.as_str().starts_with("impersonate-");
    let ours: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
    ours.iter().for_each(|name| drop(headers.remove(name)));
    speak_for(user, headers);
}

async fn send(
    client: &RemoteClient,
    path: &str,
    mut parts: Parts,
    body: RequestBody,
) -> Result<Answer, String> {
    parts.uri = client.url(path).parse().map_err(|error| format!("{error}"))?;
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let mut answer = client.send(Request::from_parts(parts, body)).await?;
    proxy::remove_hop_by_hop(answer.headers_mut());
    *answer.version_mut() = Version::HTTP_11;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn upgraded(
    client: &RemoteClient,
    path: &str,
    mut parts: Parts,
    body: RequestBody,
    protocol: HeaderValue,
) -> Result<Answer, String> {
    let connector = client.connector();
    let host = connector.server_name.to_str().into_owned();
    parts.headers.insert(UPGRADE, protocol);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.extend(HeaderValue::from_str(&host).ok().map(|host| (HOST, host)));
    parts.uri = path.parse().map_err(|error| format!("{error}"))?;
    parts.version = Version::HTTP_11;
    let connection = connector.connect().await.map_err(|error| error.to_string())?;
    let sent = proxy::exchange(connection, Request::from_parts(parts, body)).await;
    sent.map_err(|error| error.to_string())
}
