//! `/healthz`, `/livez`, `/readyz`, each check by name, and `?verbose`.

use crate::answer::{self, Answer};
use crate::endpoints::segments;
use crate::pipeline::Exchange;

/// Both hold as long as an answer can be given: the store is in this process.
const CHECKS: [&str; 2] = ["ping", "etcd"];

/// One of the three, or one check of it.
pub(super) fn health(exchange: &Exchange, name: &str) -> Option<Answer> {
    match segments(exchange).as_slice() {
        [] => Some(match exchange.query.has("verbose") {
            true => answer::text(200, verbose(name)),
            false => answer::text(200, "ok"),
        }),
        [check] if CHECKS.contains(check) => Some(answer::text(200, "ok")),
        _ => None,
    }
}

fn verbose(name: &str) -> String {
    let checks: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    format!("{checks}{name} check passed\n")
}
