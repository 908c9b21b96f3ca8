//! `meta/v1` Status: how the API server says no, in upstream's words.

use serde::{Deserialize, Serialize};

use crate::FieldError;

/// An API error (or success), as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// Empty, as upstream sends it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// `Failure` or `Success`.
    pub status: String,
    /// For people; programs read some of them too.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs: `NotFound`, `Conflict`, ...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The object and the causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
    /// The HTTP status code.
    pub code: u16,
}

/// What a Status is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its resource (or kind, for Invalid).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One per field error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    /// When a retry makes sense; also sent as the Retry-After header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One cause of a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusCause {
    /// `FieldValueRequired` and so on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The message without the path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// A failure without details.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Status {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: Default::default(),
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            details: None,
            code,
        }
    }

    /// Adds the object a failure is about. `resource` is the plural, `group` "" for core.
    pub fn about(mut self, group: &str, resource: &str, name: &str) -> Status {
        let details = self.details.get_or_insert_default();
        details.group = group.into();
        details.kind = resource.into();
        details.name = name.into();
        self
    }

    /// 404 for an object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Status::failure(404, "NotFound", message).about(group, resource, name)
    }

    /// 404 for a path.
    pub fn no_such_path() -> Status {
        let mut s =
            Status::failure(404, "NotFound", "the server could not find the requested resource");
        s.details = Some(StatusDetails::default());
        s
    }

    /// 409 for a create.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Status::failure(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409 for a write.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(group, resource)
        );
        Status::failure(409, "Conflict", message).about(group, resource, name)
    }

    /// 409 for a write on an old resourceVersion.
    pub fn modified(group: &str, resource: &str, name: &str) -> Status {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(group, resource, name, why)
    }

    /// 422 with the field errors. Takes the *kind* (`Pod`), as upstream does.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut status = Status::failure(
            422,
            "Invalid",
            format!("{} {name:?} is invalid: {list}", qualified(group, kind)),
        )
        .about(group, kind, name);
        status.details.get_or_insert_default().causes = errors
            .iter()
            .map(|e| StatusCause {
                reason: e.error_type.reason().into(),
                message: e.body(),
                field: e.field.to_string(),
            })
            .collect();
        status
    }

    /// 403. `why` is the authorizer's or the admission plugin's sentence.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let subject = match (resource, name) {
            ("", _) => "forbidden".to_owned(),
            (_, "") => format!("{} is forbidden", qualified(group, resource)),
            _ => format!("{} {name:?} is forbidden", qualified(group, resource)),
        };
        Status::failure(403, "Forbidden", format!("{subject}: {why}")).about(group, resource, name)
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::failure(400, "BadRequest", message)
    }

    /// 405 for a kind that lacks the verb.
    pub fn method_not_supported(group: &str, resource: &str, verb: &str) -> Status {
        let message = format!(
            "{verb} is not supported on resources of kind {:?}",
            qualified(group, resource)
        );
        Status::failure(405, "MethodNotAllowed", message).about(group, resource, "")
    }

    /// 410: the resourceVersion is too old, or a continue token expired.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::failure(410, "Expired", message)
    }

    /// 500. `message` becomes `Internal error occurred: ...`.
    pub fn internal(message: impl std::fmt::Display) -> Status {
        let text = message.to_string();
        let mut s =
            Status::failure(500, "InternalError", format!("Internal error occurred: {text}"));
        s.details.get_or_insert_default().causes =
            vec![StatusCause { message: text, ..StatusCause::default() }];
        s
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::failure(503, "ServiceUnavailable", message)
    }

    /// 429 with Retry-After.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let mut s = Status::failure(429, "TooManyRequests", message);
        s.details.get_or_insert_default().retry_after_seconds = Some(retry_after_seconds);
        s
    }

    /// 200 for a finished delete.
    pub fn success() -> Status {
        let mut s = Status::failure(200, "", "");
        s.status = "Success".into();
        s
    }
}

/// `pods`, or `deployments.apps`.
fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
