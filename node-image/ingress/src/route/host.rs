//! Names of hosts: what requests ask for, and patterns that cover them.

/// A host as rules name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// Hosts with one label more, `*.example.com` of an Ingress.
    OneLabel(String),
    /// Hosts with any number of labels more, `*.example.com` of a Gateway.
    Labels(String),
    /// Every host.
    Any,
}

impl HostPattern {
    /// As an Ingress writes it.
    pub(crate) fn of_ingress(text: &str) -> HostPattern {
        HostPattern::read(text, HostPattern::OneLabel)
    }

    /// As the Gateway API writes it.
    pub(crate) fn of_gateway(text: &str) -> HostPattern {
        HostPattern::read(text, HostPattern::Labels)
    }

    fn read(text: &str, wildcard: fn(String) -> HostPattern) -> HostPattern {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix("*.") {
            _ if text.is_empty() => HostPattern::Any,
            Some(rest) => wildcard(rest.to_owned()),
            None => HostPattern::Exact(text),
        }
    }

    /// Whether a host, in small letters, is meant.
    pub(crate) fn covers(&self, host: &str) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Exact(name) => name == host,
            HostPattern::Labels(suffix) => more_labels(host, suffix).is_some(),
            HostPattern::OneLabel(suffix) => {
                more_labels(host, suffix).is_some_and(|labels| !labels.contains('.'))
            }
        }
    }

    /// What both patterns cover: the narrower one, if any host is of both.
    pub(crate) fn intersection(&self, other: &HostPattern) -> Option<HostPattern> {
        let narrower = match (self, other) {
            (HostPattern::Any, _) => other,
            (_, HostPattern::Any) => self,
            (HostPattern::Exact(host), _) => return other.covers(host).then(|| self.clone()),
            (_, HostPattern::Exact(host)) => return self.covers(host).then(|| other.clone()),
            _ if self.suffix().len() >= other.suffix().len() => self,
            _ => other,
        };
        let wider = if std::ptr::eq(narrower, self) { other } else { self };
        let (suffix, within) = (narrower.suffix(), wider.suffix());
        let is_within =
            within.is_empty() || suffix == within || more_labels(suffix, within).is_some();
        is_within.then(|| narrower.clone())
    }

    /// How much of a host is fixed; patterns that fix more come first.
    pub(crate) fn suffix(&self) -> &str {
        match self {
            HostPattern::Exact(text) | HostPattern::OneLabel(text) | HostPattern::Labels(text) => {
                text
            }
            HostPattern::Any => "",
        }
    }
}

/// What stands before the suffix of a host, without the dot.
fn more_labels<'a>(host: &'a str, suffix: &str) -> Option<&'a str> {
    host.strip_suffix(suffix)?.strip_suffix('.').filter(|labels| !labels.is_empty())
}

/// The host of a `Host` header or an authority: small letters, no port, no final dot.
pub(crate) fn host_of(authority: &str) -> String {
    let host = match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_authorities() {
        let check = |authority: &str, expect: &str| assert_eq!(host_of(authority), expect);
        check("Example.com:8080", "example.com");
        check("example.com.", "example.com");
        check("[fd00::1]:80", "[fd00::1]");
        check("", "");
    }

    #[test]
    fn wildcards() {
        let check = |pattern: HostPattern, host: &str, expect: bool| {
            assert_eq!(pattern.covers(host), expect, "{pattern:?} {host}");
        };
        check(HostPattern::of_ingress("*.Foo.com"), "bar.foo.com", true);
        check(HostPattern::of_ingress("*.foo.com"), "baz.bar.foo.com", false);
        check(HostPattern::of_ingress("*.foo.com"), "foo.com", false);
        check(HostPattern::of_ingress("*.foo.com"), ".foo.com", false);
        check(HostPattern::of_ingress(""), "foo.com", true);
        check(HostPattern::of_gateway("*.foo.com"), "baz.bar.foo.com", true);
        check(HostPattern::of_gateway("foo.com"), "foo.com", true);
    }

    #[test]
    fn what_two_patterns_share() {
        let check = |one: &str, other: &str, expect: Option<&str>| {
            let (one, other) = (HostPattern::of_gateway(one), HostPattern::of_gateway(other));
            let expect = expect.map(HostPattern::of_gateway);
            assert_eq!(one.intersection(&other), expect, "{one:?} {other:?}");
            assert_eq!(other.intersection(&one), expect, "{other:?} {one:?}");
        };
        check("", "", Some(""));
        check("", "a.com", Some("a.com"));
        check("*.com", "", Some("*.com"));
        check("*.com", "a.com", Some("a.com"));
        check("*.a.com", "*.com", Some("*.a.com"));
        check("*.a.com", "*.a.com", Some("*.a.com"));
        check("*.a.com", "a.com", None);
        check("*.a.com", "*.ba.com", None);
        check("a.com", "b.com", None);
    }
}
