//! How a webhook's refusal is told to the client.

use kd_api::{Object, Status, StatusCause, StatusDetails};
use serde_json::Value;

/// The Status of a refusal: the webhook's own, in upstream's sentence, never a success.
pub(super) fn refusal(hook: &str, given: &Value) -> Status {
    let denied = format!("admission webhook {hook:?} denied the request");
    let (message, reason) = (given.str_at(&["message"]), given.str_at(&["reason"]));
    let message = match (message, reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let code = given.i64_at(&["code"]).and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..1000).contains(code)).unwrap_or(400);
    let mut status = Status::failure(code, reason, message);
    status.details = given.get("details").filter(|details| details.is_object()).map(details);
    status
}

fn details(given: &Value) -> StatusDetails {
    let text = |field: &str| given.str_at(&[field]).to_owned();
    let cause = |cause: &Value| {
        let text = |field: &str| cause.str_at(&[field]).to_owned();
        StatusCause { reason: text("reason"), message: text("message"), field: text("field") }
    };
    let retry =
        given.i64_at(&["retryAfterSeconds"]).and_then(|seconds| u32::try_from(seconds).ok());
    StatusDetails {
        name: text("name"),
        group: text("group"),
        kind: text("kind"),
        uid: text("uid"),
        causes: given.list_at(&["causes"]).iter().map(cause).collect(),
        retry_after_seconds: retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals() {
        let check = |given: Value, expect: (u16, &str, &str)| {
            let got = refusal("h", &given);
            assert_eq!((got.code, &*got.reason, &*got.message), expect);
            assert_eq!(got.status, "Failure");
        };
        let denied = r#"admission webhook "h" denied the request"#;
        check(Value::Null, (400, "", &format!("{denied} without explanation")));
        check(json!({"message": "no"}), (400, "", &format!("{denied}: no")));
        check(
            json!({"reason": "Forbidden", "code": 403, "status": "Success"}),
            (403, "Forbidden", &format!("{denied}: Forbidden")),
        );
        check(json!({"message": "no", "code": 200}), (400, "", &format!("{denied}: no")));
        let causes = json!({"details": {"causes": [{"field": "a", "message": "m"}]}});
        assert_eq!(refusal("h", &causes).details.unwrap().causes[0].field, "a");
    }
}
