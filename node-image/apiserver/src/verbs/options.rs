//! The options of writes in the query: which values they may have.

use kd_api::{FieldError, Path, Status};

use super::{APPLY, VerbRequest};
use crate::negotiate::media_type;
use crate::query::Query;

/// The longest name of a field manager.
const MANAGER_LENGTH_MAX: usize = 128;

impl VerbRequest {
    /// Refuses options that upstream does not know; `kind` is CreateOptions, UpdateOptions or
    /// PatchOptions.
    pub(crate) fn check_options(&self, kind: &str) -> Result<(), Status> {
        let is_apply = media_type(&self.exchange.parts.headers) == APPLY;
        let mut errors = match kind {
            "PatchOptions" => of_patch(self.query(), is_apply),
            _ => Vec::new(),
        };
        errors.extend(of_any(self.query()));
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid("meta.k8s.io", kind, "", &errors)),
        }
    }
}

fn of_patch(query: &Query, is_apply: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_apply && query.first("fieldManager").is_empty() {
        let why = "is required for apply patch";
        errors.push(FieldError::required(Path::new("fieldManager"), why));
    }
    if !is_apply && query.has("force") {
        let why = "may not be specified for non-apply patch";
        errors.push(FieldError::forbidden(Path::new("force"), why));
    }
    errors
}

fn of_any(query: &Query) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let manager = query.first("fieldManager");
    let field = || Path::new("fieldManager");
    if manager.len() > MANAGER_LENGTH_MAX {
        errors.push(FieldError::too_long(field(), MANAGER_LENGTH_MAX));
    }
    if manager.chars().any(char::is_control) {
        let why = "should only contain printable characters";
        errors.push(FieldError::invalid(field(), manager, why));
    }
    let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
    if dry_run.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported(Path::new("dryRun"), dry_run, &["All"]));
    }
    let validation = query.first("fieldValidation");
    if !["", "Ignore", "Strict", "Warn"].contains(&validation) {
        let supported = ["", "Ignore", "Strict", "Warn"];
        let field = Path::new("fieldValidation");
        errors.push(FieldError::not_supported(field, validation, &supported));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let check = |query: &str, is_apply: bool, expect: &[&str]| {
            let query = Query::parse(query);
            let mut errors = of_patch(&query, is_apply);
            errors.extend(of_any(&query));
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors, expect);
        };
        check("dryRun=All&fieldValidation=Strict&fieldManager=me", false, &[]);
        check("force=true&fieldManager=me", true, &[]);
        check("", true, &["fieldManager: Required value: is required for apply patch"]);
        check("force=true", false, &["force: Forbidden: may not be specified for non-apply patch"]);
        check(
            "dryRun=Some",
            false,
            &["dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""],
        );
        check(
            "fieldValidation=X",
            false,
            &[
                "fieldValidation: Unsupported value: \"X\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ],
        );
        check(
            "fieldManager=a%0Ab",
            false,
            &["fieldManager: Invalid value: \"a\\nb\": should only contain printable characters"],
        );
        check(
            &format!("fieldManager={}", "x".repeat(129)),
            false,
            &["fieldManager: Too long: may not be more than 128 bytes"],
        );
    }
}
