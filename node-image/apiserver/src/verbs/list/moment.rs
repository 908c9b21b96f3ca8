//! Which state of a collection a request is about, and which options go together: upstream's table
//! of `resourceVersion`, `resourceVersionMatch`, `limit`, `continue` and `sendInitialEvents`.

use kd_api::{FieldError, Path, Status};

use super::continuation::Continue;
use crate::query::Query;

const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

/// A state of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The newest, which must be as new as this revision.
    NotOlderThan(u64),
    /// At this revision.
    Exact(u64),
    /// Where the chunk before ended.
    Continued(Continue),
}

impl Moment {
    /// What a list asks for. `prefix` is that of the collection's keys.
    pub(super) fn of(query: &Query, prefix: &str) -> Result<Moment, Status> {
        check_list(query)?;
        let revision = query.first("resourceVersion");
        let token = query.first("continue");
        if !token.is_empty() {
            let token = Continue::parse(token, prefix)
                .map_err(|why| Status::bad_request(format!("invalid continue token: {why}")))?;
            return match revision {
                "" | "0" => Ok(Moment::Continued(token)),
                _ => Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                )),
            };
        }
        let revision = parse_revision(revision)
            .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        let limited = query.number("limit")?.is_some_and(|limit| limit > 0);
        Ok(match query.first("resourceVersionMatch") {
            EXACT => Moment::Exact(revision),
            "" if limited && revision > 0 => Moment::Exact(revision),
            _ => Moment::NotOlderThan(revision),
        })
    }
}

/// A resource version; "" is 0. The error is upstream's reason.
pub(in crate::verbs) fn parse_revision(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    // Rust's integers may have a sign, upstream's not.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let why = match digits {
        false => "invalid syntax",
        true => match text.parse() {
            Ok(revision) => return Ok(revision),
            Err(_) => "value out of range",
        },
    };
    Err(format!(
        "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: {why}"
    ))
}

fn check_list(query: &Query) -> Result<(), Status> {
    let field = || Path::new("resourceVersionMatch");
    let matching = query.first("resourceVersionMatch");
    let revision = query.first("resourceVersion");
    let mut errors = Vec::new();
    let mut forbid = |why: &str| errors.push(FieldError::forbidden(field(), why));
    if !matching.is_empty() {
        if revision.is_empty() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !query.first("continue").is_empty() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if ![EXACT, NOT_OLDER_THAN].contains(&matching) {
            let supported = [EXACT, NOT_OLDER_THAN, ""];
            errors.push(FieldError::not_supported(field(), matching, &supported));
        }
        if matching == EXACT && revision == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(field(), why));
        }
    }
    if query.has("sendInitialEvents") {
        let why = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden(Path::new("sendInitialEvents"), why));
    }
    refused(errors)
}

/// Refuses options of a watch that do not go together.
pub(in crate::verbs) fn check_watch(query: &Query) -> Result<(), Status> {
    let field = || Path::new("resourceVersionMatch");
    let matching = query.first("resourceVersionMatch");
    let sends_initial = query.has("sendInitialEvents");
    let mut errors = Vec::new();
    let mut forbid = |why: &str| errors.push(FieldError::forbidden(field(), why));
    if sends_initial && matching != NOT_OLDER_THAN {
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if !matching.is_empty() {
        if !sends_initial {
            forbid(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if !query.first("continue").is_empty() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if matching != NOT_OLDER_THAN {
            errors.push(FieldError::not_supported(field(), matching, &[NOT_OLDER_THAN]));
        }
    }
    refused(errors)
}

fn refused(errors: Vec<FieldError>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `newest`, `as new as 5`, `at 5`, `behind KEY at 5`, or the code and the message.
    #[track_caller]
    fn check(query: &str, expect: &str) {
        let token = Continue { revision: 7, after: "/pods/a/b".into() }.shown("/pods/");
        let query = Query::parse(&query.replace("TOKEN", &token));
        let got = match Moment::of(&query, "/pods/") {
            Ok(Moment::NotOlderThan(0)) => "newest".into(),
            Ok(Moment::NotOlderThan(revision)) => format!("as new as {revision}"),
            Ok(Moment::Exact(revision)) => format!("at {revision}"),
            Ok(Moment::Continued(token)) => format!("behind {} at {}", token.after, token.revision),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn lists_by_revision() {
        check("", "newest");
        check("resourceVersion=0", "newest");
        check("resourceVersion=5", "as new as 5");
        check("limit=2", "newest");
        check("limit=2&resourceVersion=0", "newest");
        check("limit=2&resourceVersion=5", "at 5");
        check("limit=2&continue=TOKEN", "behind /pods/a/b at 7");
        check("continue=TOKEN", "behind /pods/a/b at 7");
        check("limit=2&continue=TOKEN&resourceVersion=0", "behind /pods/a/b at 7");
        check(
            "limit=2&continue=TOKEN&resourceVersion=5",
            "400 specifying resource version is not allowed when using continue",
        );
        check("resourceVersionMatch=Exact&resourceVersion=5", "at 5");
        check("resourceVersionMatch=Exact&resourceVersion=5&limit=2", "at 5");
        check("resourceVersionMatch=NotOlderThan&resourceVersion=0", "newest");
        check("resourceVersionMatch=NotOlderThan&resourceVersion=5", "as new as 5");
        check("resourceVersionMatch=NotOlderThan&resourceVersion=5&limit=2", "as new as 5");
    }

    #[test]
    fn options_that_do_not_go_together() {
        let options = "422 ListOptions.meta.k8s.io \"\" is invalid: ";
        let matching = format!("{options}resourceVersionMatch: ");
        let check = |query: &str, expect: &str| check(query, &format!("{matching}{expect}"));
        let unless =
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
        check("resourceVersionMatch=Exact", unless);
        check("resourceVersionMatch=NotOlderThan", unless);
        check("resourceVersionMatch=Exact&limit=2", unless);
        check(
            "resourceVersionMatch=Exact&resourceVersion=0",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        );
        check(
            "resourceVersionMatch=NotOlderThan&resourceVersion=0&continue=TOKEN",
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
        );
        check(
            "resourceVersionMatch=X&resourceVersion=1",
            "Unsupported value: \"X\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
        );
        let query = Query::parse("sendInitialEvents=true");
        let status = Moment::of(&query, "/pods/").unwrap_err();
        let expect = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list";
        assert_eq!(format!("422 {}", status.message), format!("{options}{expect}"));
    }

    #[test]
    fn revisions_that_are_none() {
        let check = |text: &str, why: &str| {
            let expect = format!(
                "400 invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: {why}"
            );
            check(&format!("resourceVersion={text}"), &expect);
        };
        check("abc", "invalid syntax");
        check("-1", "invalid syntax");
        check("1.5", "invalid syntax");
        check("99999999999999999999", "value out of range");
    }

    #[test]
    fn watches() {
        let check = |query: &str, expect: &[&str]| {
            let got = check_watch(&Query::parse(query)).err();
            let causes = got.and_then(|status| status.details).unwrap_or_default().causes;
            let messages: Vec<String> = causes.into_iter().map(|cause| cause.message).collect();
            assert_eq!(messages, expect, "{query}");
        };
        check("", &[]);
        check("resourceVersion=5", &[]);
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", &[]);
        check("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", &[]);
        check(
            "sendInitialEvents=true",
            &["Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"],
        );
        check(
            "resourceVersionMatch=NotOlderThan&resourceVersion=1",
            &[
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ],
        );
        check(
            "sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
            &[
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                "Unsupported value: \"Exact\": supported values: \"NotOlderThan\"",
            ],
        );
    }
}
