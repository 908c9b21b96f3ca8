//! Continue tokens: opaque to clients, upstream's form inside.

use std::fmt;

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

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

impl Continue {
    pub(super) fn parse(text: &str) -> Result<Continue, Status> {
        let refused = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| refused(&error.to_string()))?;
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|error| refused(&error.to_string()))?;
        if token.v != VERSION {
            return Err(refused(&format!(
                "server does not recognize this encoded version {:?}",
                token.v
            )));
        }
        Ok(Continue { revision: token.rv, after: token.start })
    }

    /// 410 with a token that goes on at the newest revision.
    pub(super) fn expired(&self) -> Status {
        let fresh = Continue { revision: -1, after: self.after.clone() };
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        status.metadata.insert("continue".into(), fresh.to_string().into());
        status
    }
}

impl fmt::Display for Continue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = Token { v: VERSION.into(), rv: self.revision, start: self.after.clone() };
        let json = serde_json::to_vec(&token).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}
