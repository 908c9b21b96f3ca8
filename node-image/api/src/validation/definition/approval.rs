//! Groups of the community need its approval, in an annotation.

use serde_json::Value;

use super::super::check::Errors;
use crate::walk::Walk;
use crate::{FieldError, Object, Path};

const ANNOTATION: &str = "api-approved.kubernetes.io";
const MORE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation of a definition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approval {
    /// Whether the API is approved.
    pub(crate) approved: bool,
    /// The reason of the condition.
    pub(crate) reason: &'static str,
    /// In words.
    pub(crate) message: String,
}

/// The approval of a definition, if its group needs one.
pub(crate) fn approval_of(definition: &Value) -> Option<Approval> {
    let group = definition["spec"].text("group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if !protected {
        return None;
    }
    let text = definition.annotation(ANNOTATION).unwrap_or("");
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && !rest.starts_with('/')
    });
    let needed = format!("protected groups must have approval annotation {ANNOTATION:?}");
    let (approved, reason, message) = match text {
        "" => (false, "MissingAnnotation", format!("{needed}, {MORE}")),
        text if text.starts_with("unapproved") => {
            (false, "UnapprovedAnnotation", format!("not approved: {text:?}"))
        }
        text if is_url => (true, "ApprovedAnnotation", format!("approved in {text}")),
        _ => {
            let either = "with either a URL or a reason starting with \"unapproved\"";
            (false, "InvalidAnnotation", format!("{needed} {either}, {MORE}"))
        }
    };
    Some(Approval { approved, reason, message })
}

/// A definition without a valid annotation is refused, unless it was so before.
pub(super) fn validate(errors: &mut Errors, new: &Value, old: Option<&Value>) {
    let Some(approval) = approval_of(new) else { return };
    let before = old.and_then(approval_of);
    if before.is_some_and(|before| before.reason == approval.reason) {
        return;
    }
    let path = Path::new("metadata").child("annotations").key(ANNOTATION);
    match approval.reason {
        "MissingAnnotation" => errors.push(FieldError::required(path, approval.message)),
        "InvalidAnnotation" => {
            let text = new.annotation(ANNOTATION).unwrap_or("");
            errors.push(FieldError::invalid(path, text, approval.message));
        }
        _ => {}
    }
}
