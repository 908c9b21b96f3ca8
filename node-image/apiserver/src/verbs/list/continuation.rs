//! Continue tokens: opaque to clients, upstream's form inside.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kd_api::Status;
use serde::{Deserialize, Serialize};

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Continue {
    /// At this revision, or at the newest if negative.
    pub(super) revision: i64,
    /// Behind this key.
    pub(super) after: String,
}

/// `start` is the key behind the last one, without the prefix that all keys of the list have.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";
/// What makes the next key of a key.
const NEXT: char = '\0';

impl Continue {
    /// The error is upstream's reason.
    pub(super) fn parse(text: &str, prefix: &str) -> Result<Continue, String> {
        const REFUSED: &str = "continue key is not valid";
        let refused = |why: &dyn std::fmt::Display| format!("{REFUSED}: {why}");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| refused(&error))?;
        let Token { v, rv, start } =
            serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
        if v != VERSION {
            return Err(refused(&format!("server does not recognize this encoded version {v}")));
        }
        if rv == 0 {
            return Err(refused(&format!(
                "incorrect encoded start resourceVersion (version {VERSION})"
            )));
        }
        if start.is_empty() {
            return Err(refused(&format!("encoded start key empty (version {VERSION})")));
        }
        let key = start.strip_prefix('/').unwrap_or(&start);
        // A client could lead the server out of the collection otherwise.
        if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(refused(&start));
        }
        let after = format!("{prefix}{}", key.trim_end_matches(NEXT));
        Ok(Continue { revision: rv, after })
    }

    /// The token.
    pub(super) fn shown(&self, prefix: &str) -> String {
        let key = self.after.strip_prefix(prefix).unwrap_or(&self.after);
        let token = Token { v: VERSION.into(), rv: self.revision, start: format!("{key}{NEXT}") };
        // A struct of text and a number cannot fail.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// 410 with a token that goes on at the newest revision.
    pub(super) fn expired(&self, prefix: &str) -> Status {
        let fresh = Continue { revision: -1, after: self.after.clone() };
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        status.metadata.insert("continue".into(), fresh.shown(prefix).into());
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let token = Continue { revision: 7, after: "/pods/a/b".into() };
        let shown = token.shown("/pods/a/");
        assert_eq!(Continue::parse(&shown, "/pods/a/"), Ok(token));
        let bytes = URL_SAFE_NO_PAD.decode(shown).unwrap();
        assert_eq!(bytes, br#"{"v":"meta.k8s.io/v1","rv":7,"start":"b\u0000"}"#);
    }

    #[test]
    fn refusals() {
        let check = |token: &str, expect: &str| {
            let why = Continue::parse(&URL_SAFE_NO_PAD.encode(token), "/pods/").unwrap_err();
            assert!(why.starts_with(&format!("continue key is not valid: {expect}")), "{why}");
        };
        check("x", "");
        check(
            r#"{"v":"v2","rv":1,"start":"a"}"#,
            "server does not recognize this encoded version v2",
        );
        let version = "(version meta.k8s.io/v1)";
        check(
            r#"{"v":"meta.k8s.io/v1","start":"a"}"#,
            &format!("incorrect encoded start resourceVersion {version}"),
        );
        check(r#"{"v":"meta.k8s.io/v1","rv":1}"#, &format!("encoded start key empty {version}"));
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#, "../secrets/a");
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#, "a//b");
        assert!(Continue::parse("!", "/pods/").is_err());
    }
}
