//! Why a webhook could not be called, in the words that upstream's clients and tests look for.

use kd_api::Status;

/// Why a webhook could not be called. Its text follows `failed to call webhook: ` and
/// `conversion webhook for ... failed: `.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WebhookError {
    /// The configuration names no place that could be called.
    #[error("could not get REST client: {0}")]
    Configuration(String),
    /// The call did not come to an answer.
    #[error("Post {url:?}: {cause}")]
    Transport {
        /// As it was called.
        url: String,
        /// `context deadline exceeded`, `dial tcp ...: connect: connection refused`, ...
        cause: String,
    },
    /// The answer was a failure.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    /// The answer was not what was asked for.
    #[error("{0}")]
    Answer(String),
}

impl WebhookError {
    /// A failed HTTP answer as upstream's clients word it: by its code, unless it is a Status.
    pub(super) fn of_answer(code: u16, body: &[u8]) -> WebhookError {
        if let Ok(status) = serde_json::from_slice::<Status>(body)
            && status.kind == "Status"
            && !status.message.is_empty()
        {
            return WebhookError::Refused(status.into());
        }
        let text = String::from_utf8_lossy(body);
        let text = if text.trim().is_empty() { "unknown" } else { text.trim() };
        let row = ANSWERS.iter().find(|(known, ..)| *known == code);
        let (reason, message) = match row {
            Some((_, reason, message)) => (*reason, (*message).to_owned()),
            None if code >= 500 => (
                "InternalError",
                format!(
                    "an error on the server ({text:?}) has prevented the request from succeeding"
                ),
            ),
            None => (
                "",
                format!(
                    "the server responded with the status code {code} but did not return more information"
                ),
            ),
        };
        WebhookError::Refused(Status::failure(code, reason, message).into())
    }
}

/// Code, reason, message.
const ANSWERS: &[(u16, &str, &str)] = &[
    (400, "BadRequest", "the server rejected our request for an unknown reason"),
    (401, "Unauthorized", "the server has asked for the client to provide credentials"),
    (403, "Forbidden", "access denied"),
    (404, "NotFound", "the server could not find the requested resource"),
    (405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
    (409, "Conflict", "the server reported a conflict"),
    (422, "Invalid", "the server rejected our request due to an error in our request"),
    (
        429,
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    (
        504,
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_upstreams_words() {
        let check = |code, body: &str, expect: &str| {
            assert_eq!(WebhookError::of_answer(code, body.as_bytes()).to_string(), expect);
        };
        check(404, "404 page not found\n", "the server could not find the requested resource");
        check(
            500,
            "oh \"no\"\n",
            r#"an error on the server ("oh \"no\"") has prevented the request from succeeding"#,
        );
        check(
            502,
            "",
            r#"an error on the server ("unknown") has prevented the request from succeeding"#,
        );
        let status = serde_json::to_string(&Status::forbidden("", "pods", "p", "no")).unwrap();
        check(403, &status, "pods \"p\" is forbidden: no");
        check(
            302,
            "",
            "the server responded with the status code 302 but did not return more information",
        );
    }
}
