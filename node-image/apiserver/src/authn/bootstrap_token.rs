//! Bootstrap tokens `<id>.<secret>`: Secrets in kube-system by which new nodes introduce themselves.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use kd_api::Object;
use serde_json::Value;

use super::same_secret;
use crate::request::{Reader, UserInfo};

const GROUP: &str = "system:bootstrappers";
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;

/// The user of a valid bootstrap token.
pub(super) fn user(reader: &dyn Reader, now: Timestamp, token: &str) -> Option<UserInfo> {
    let (id, secret) = token.split_once('.')?;
    let letters = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if id.len() != ID_LEN || secret.len() != SECRET_LEN || !letters(id) || !letters(secret) {
        return None;
    }
    let stored = reader.get("", "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    let usable = stored.str_at(&["type"]) == "bootstrap.kubernetes.io/token"
        && !stored.is_terminating()
        && data(&stored, "token-id")? == id
        && same_secret(data(&stored, "token-secret")?.as_bytes(), secret.as_bytes())
        && data(&stored, "usage-bootstrap-authentication")? == "true";
    if !usable || expired(&stored, now) {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    if let Some(extra) = data(&stored, "auth-extra-groups") {
        for group in extra.split(',').filter(|group| !group.is_empty()) {
            // One wrong group spoils the token: it would mean less than its author believes.
            groups.push(Some(group).filter(|group| valid_group(group))?.to_owned());
        }
    }
    Some(UserInfo { username: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() })
}

fn data(secret: &Value, key: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(secret.str_at(&["data", key])).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

fn expired(secret: &Value, now: Timestamp) -> bool {
    match data(secret, "expiration") {
        None => false,
        Some(text) => {
            text.parse::<Timestamp>().is_ok_and(|end| end <= now)
                || text.parse::<Timestamp>().is_err()
        }
    }
}

fn valid_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b':' || b == b'-';
    rest.len() <= 256
        && rest.bytes().all(inner)
        && rest.bytes().last().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}
