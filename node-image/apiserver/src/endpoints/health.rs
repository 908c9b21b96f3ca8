//! `/healthz`, `/livez`, `/readyz`, each check by name, `?verbose` and `?exclude=`.

use std::collections::BTreeSet;

use crate::answer::{self, Answer};
use crate::endpoints::segments;
use crate::pipeline::Exchange;
use crate::request::Reader;
use crate::server::ApiServer;

/// One check, under upstream's name.
struct Check {
    name: &'static str,
    /// Whether it is asked only for readiness.
    readiness: bool,
    holds: fn(&ApiServer) -> bool,
}

const fn check(name: &'static str, holds: fn(&ApiServer) -> bool) -> Check {
    Check { name, readiness: false, holds }
}

const fn readiness(name: &'static str, holds: fn(&ApiServer) -> bool) -> Check {
    Check { name, readiness: true, holds }
}

/// In upstream's order. Hooks hold once what they write is there.
const CHECKS: &[Check] = &[
    check("ping", |_| true),
    check("log", |_| true),
    check("etcd", |server| server.objects.store.revision() > 0),
    readiness("etcd-readiness", |server| server.objects.store.revision() > 0),
    readiness("informer-sync", |server| server.objects.store.revision() > 0),
    check("poststarthook/start-system-namespaces-controller", |server| {
        server.reader().get("", "namespaces", "", "kube-system").is_some()
    }),
    check("poststarthook/rbac/bootstrap-roles", |server| {
        let group = "rbac.authorization.k8s.io";
        server.reader().get(group, "clusterroles", "", "cluster-admin").is_some()
    }),
    check("poststarthook/scheduling/bootstrap-system-priority-classes", |server| {
        let group = "scheduling.k8s.io";
        server.reader().get(group, "priorityclasses", "", "system-node-critical").is_some()
    }),
    check("poststarthook/bootstrap-controller", |server| {
        server.reader().get("", "services", "default", "kubernetes").is_some()
    }),
    readiness("shutdown", |server| !*server.closing.borrow()),
];

/// One of the three, or one check of it.
pub(super) fn health(exchange: &Exchange, name: &str) -> Option<Answer> {
    let server = &*exchange.server;
    let asked = || CHECKS.iter().filter(|check| name == "readyz" || !check.readiness);
    let path = segments(exchange).join("/");
    if !path.is_empty() {
        let check = asked().find(|check| check.name == path)?;
        return Some(match (check.holds)(server) {
            true => answer::text(200, "ok"),
            false => answer::text(500, "internal server error: reason withheld\n"),
        });
    }
    let excluded: BTreeSet<&str> = exchange.query.all("exclude").collect();
    let outcomes = asked().map(|check| match excluded.contains(check.name) {
        true => (check.name, None),
        false => (check.name, Some((check.holds)(server))),
    });
    let (holds, report) = report(name, &outcomes.collect::<Vec<_>>(), excluded);
    let mut answer = match (holds, exchange.query.has("verbose")) {
        (true, false) => answer::text(200, "ok"),
        (true, true) => answer::text(200, report),
        (false, _) => answer::text(500, report),
    };
    let nosniff = http::HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    Some(answer)
}

/// Whether all hold, and a line for each. An outcome is none when it was not wanted.
fn report<'a>(
    name: &str,
    outcomes: &[(&'a str, Option<bool>)],
    mut excluded: BTreeSet<&'a str>,
) -> (bool, String) {
    let mut text = String::new();
    for (check, outcome) in outcomes {
        text += &match outcome {
            None => format!("[+]{check} excluded: ok\n"),
            Some(true) => format!("[+]{check} ok\n"),
            // Anyone may ask: the reason is for the log.
            Some(false) => format!("[-]{check} failed: reason withheld\n"),
        };
        excluded.remove(check);
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        text += &format!("warn: some health checks cannot be excluded: no matches for {names}\n");
    }
    let holds = outcomes.iter().all(|(_, outcome)| *outcome != Some(false));
    let end = if holds { "passed" } else { "failed" };
    (holds, format!("{text}{name} check {end}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let check = |outcomes: &[(&str, Option<bool>)], excluded: &[&str], expect: &str| {
            let (_, text) = report("livez", outcomes, excluded.iter().copied().collect());
            assert_eq!(text, expect);
        };
        check(&[("ping", Some(true))], &[], "[+]ping ok\nlivez check passed\n");
        check(
            &[("ping", Some(true)), ("etcd", Some(false))],
            &[],
            "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n",
        );
        check(
            &[("etcd", None)],
            &["etcd", "x"],
            "[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nlivez check passed\n",
        );
    }
}
