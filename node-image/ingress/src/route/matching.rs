//! Conditions on a request besides its host: path, method, headers, query.

use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;
use regex::Regex;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The host, as [`super::host_of`] makes it.
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// All that must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Match {
    /// The path.
    pub path: PathMatch,
    /// The method; any otherwise.
    pub method: Option<Method>,
    /// Headers.
    pub headers: Vec<(HeaderName, TextMatch)>,
    /// Parameters of the query.
    pub query: Vec<(String, TextMatch)>,
}

/// A condition on a path.
#[derive(Clone, Debug)]
pub(crate) enum PathMatch {
    /// Exactly this one.
    Exact(String),
    /// This one and those below it, element by element; "" for all.
    Prefix(String),
    /// One that matches from its beginning to its end.
    Pattern(Regex),
}

impl Default for PathMatch {
    fn default() -> PathMatch {
        PathMatch::Prefix(String::new())
    }
}

/// A condition on a text.
#[derive(Clone, Debug)]
pub(crate) enum TextMatch {
    /// Exactly this one.
    Exact(String),
    /// One that matches from its beginning to its end.
    Pattern(Regex),
}

/// Patterns take this much memory at most when they are compiled.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// Compiles a pattern that must match a whole text.
pub(crate) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES_MAX).build()
}

impl PathMatch {
    /// A prefix of whole elements: a final slash means nothing.
    pub(crate) fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.trim_end_matches('/').to_owned())
    }

    fn holds(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::Pattern(pattern) => pattern.is_match(path),
            PathMatch::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Exact paths come first, then the longest ones.
    fn rank(&self) -> (u8, Reverse<usize>, u8) {
        match self {
            PathMatch::Exact(path) => (0, Reverse(path.len()), 0),
            PathMatch::Prefix(path) => (1, Reverse(path.len()), 0),
            PathMatch::Pattern(pattern) => (1, Reverse(pattern.as_str().len()), 1),
        }
    }
}

impl TextMatch {
    fn holds(&self, text: &str) -> bool {
        match self {
            TextMatch::Exact(exact) => exact == text,
            TextMatch::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

impl Match {
    /// Every request.
    pub(crate) fn of_path(path: PathMatch) -> Match {
        Match { path, ..Match::default() }
    }

    /// Whether a request is meant; its host is looked at elsewhere.
    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        self.path.holds(asked.path)
            && self.method.as_ref().is_none_or(|method| method == asked.method)
            && self.headers.iter().all(|(name, value)| header_holds(asked.headers, name, value))
            && self.query.iter().all(|(name, value)| query_holds(asked.query, name, value))
    }

    /// The order in which matches are tried
    /// (<https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule>).
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let counts = (Reverse(self.headers.len()), Reverse(self.query.len()));
        (self.path.rank(), self.method.is_none(), counts)
    }
}

/// Several lines of one header are one list (RFC 9110, section 5.2).
fn header_holds(headers: &HeaderMap, name: &HeaderName, value: &TextMatch) -> bool {
    let mut lines =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let Some(first) = lines.next() else { return false };
    let all = lines.fold(first.into_owned(), |all, line| all + "," + &line);
    value.holds(&all)
}

/// The first parameter of a name counts.
fn query_holds(query: Option<&str>, name: &str, value: &TextMatch) -> bool {
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut parameters = query.unwrap_or_default().split('&');
    let found = parameters.find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decoded(key) == name).then(|| decoded(value))
    });
    found.is_some_and(|found| value.holds(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: PathMatch, asked: &str, expect: bool| {
            assert_eq!(path.holds(asked), expect, "{path:?} {asked}");
        };
        // The table of https://kubernetes.io/docs/concepts/services-networking/ingress/#examples
        for (path, asked, expect) in [
            ("/", "/any/path", true),
            ("/foo", "/foo", true),
            ("/foo", "/foo/", true),
            ("/foo/", "/foo", true),
            ("/foo/", "/foo/", true),
            ("/aaa/bb", "/aaa/bbb", false),
            ("/aaa/bbb", "/aaa/bbb", true),
            ("/aaa/bbb/", "/aaa/bbb", true),
            ("/aaa/bbb", "/aaa/bbb/", true),
            ("/aaa/bbb", "/aaa/bbb/ccc", true),
            ("/aaa/bbb", "/aaa/bbbxyz", false),
        ] {
            check(PathMatch::prefix(path), asked, expect);
        }
        for (path, asked, expect) in [
            ("/foo", "/foo", true),
            ("/foo", "/bar", false),
            ("/foo", "/foo/", false),
            ("/foo/", "/foo", false),
        ] {
            check(PathMatch::Exact(path.to_owned()), asked, expect);
        }
        check(PathMatch::Pattern(whole("/a+").unwrap()), "/aa", true);
        check(PathMatch::Pattern(whole("/a+").unwrap()), "/aab", false);
    }

    #[test]
    fn headers_and_queries() {
        let mut headers = HeaderMap::new();
        headers.append("color", "red".parse().unwrap());
        headers.append("color", "blue".parse().unwrap());
        let exact = |text: &str| TextMatch::Exact(text.to_owned());
        let name = HeaderName::from_static("color");
        assert!(header_holds(&headers, &name, &exact("red,blue")));
        assert!(!header_holds(&headers, &name, &exact("red")));
        assert!(header_holds(&headers, &name, &TextMatch::Pattern(whole("red.*").unwrap())));
        assert!(!header_holds(&headers, &HeaderName::from_static("size"), &exact("")));
        let check = |query: Option<&str>, expect: bool| {
            assert_eq!(query_holds(query, "animal", &exact("big whale")), expect, "{query:?}");
        };
        check(Some("animal=big+whale"), true);
        check(Some("x=1&anim%61l=big%20whale&animal=ant"), true);
        check(Some("animal=ant&animal=big+whale"), false);
        check(Some("animal"), false);
        check(None, false);
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(whole("(").is_err());
        assert!(whole("(a{1000}){1000}").is_err());
    }
}
