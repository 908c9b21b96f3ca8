//! The kinds that a server knows at one moment: an immutable value, shared, replaced as a whole when
//! custom kinds come and go.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::metrics::metrics_kinds;
use super::{Kind, rows};

/// The kinds at one moment; a clone is a reference.
#[derive(Clone, Debug)]
pub struct Kinds(Arc<Inner>);

/// A group with its versions, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// "" for core.
    pub name: String,
    /// In upstream's order of priority.
    pub versions: Vec<String>,
}

#[derive(Debug)]
struct Inner {
    /// Ordered by group, version and plural name, as discovery shows them.
    kinds: Vec<Arc<Kind>>,
    groups: Vec<Group>,
    /// Where the kinds of a plural name are: few groups share one.
    by_plural: HashMap<String, Vec<usize>>,
    by_kind: HashMap<String, Vec<usize>>,
}

impl Kinds {
    /// The built-in kinds that are served, with those of metrics.
    pub fn built_in() -> Kinds {
        Kinds::new(rows::known().into_iter().chain(metrics_kinds()))
    }

    /// The built-in kinds that the API server has of itself.
    pub fn known() -> Kinds {
        Kinds::new(rows::known())
    }

    /// A registry of these kinds.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Kinds {
        Kinds::of(kinds.into_iter().map(Arc::new).collect())
    }

    /// This registry and more kinds; one that is there already is replaced.
    pub fn with(&self, more: impl IntoIterator<Item = Kind>) -> Kinds {
        let more: Vec<Arc<Kind>> = more.into_iter().map(Arc::new).collect();
        let replaced = |kind: &Arc<Kind>| more.iter().any(|new| same(kind, new));
        let mut kinds: Vec<_> = self.0.kinds.iter().filter(|k| !replaced(k)).cloned().collect();
        kinds.extend(more);
        Kinds::of(kinds)
    }

    fn of(mut kinds: Vec<Arc<Kind>>) -> Kinds {
        kinds.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| compare(a, b)));
        let mut by_plural: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_kind: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, kind) in kinds.iter().enumerate() {
            by_plural.entry(kind.plural.clone()).or_default().push(index);
            by_kind.entry(kind.kind.clone()).or_default().push(index);
        }
        Kinds(Arc::new(Inner { groups: groups(&kinds), by_plural, by_kind, kinds }))
    }

    /// Whether this is the very same registry, not one that was made anew.
    pub fn is_same(&self, other: &Kinds) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The kind of a resource path.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let mut named = self.named(&self.0.by_plural, plural);
        named.find(|kind| kind.group == group && kind.version == version)
    }

    /// The kind that an object names.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let mut named = self.named(&self.0.by_kind, kind);
        named.find(|kind| kind.group == group && kind.version == version)
    }

    /// The kind that an object's `apiVersion` and `kind` name.
    pub fn by_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = split_api_version(api_version);
        self.by_kind(group, version, kind)
    }

    /// A resource in the version its group prefers.
    pub fn preferred(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.named(&self.0.by_plural, plural).find(|kind| kind.group == group)
    }

    /// The kind as whose version objects of `kind` are stored.
    pub fn stored_form<'a>(&'a self, kind: &'a Arc<Kind>) -> &'a Arc<Kind> {
        if let Some(custom) = &kind.custom {
            return self.get(&kind.group, &custom.storage_version, &kind.plural).unwrap_or(kind);
        }
        self.preferred(&kind.storage.0, &kind.storage.1).unwrap_or(kind)
    }

    /// The groups in upstream's order, each with its versions.
    pub fn groups(&self) -> &[Group] {
        &self.0.groups
    }

    /// The kinds of one group and version, by plural name.
    pub fn kinds_of(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.kinds.iter().filter(move |k| k.group == group && k.version == version)
    }

    /// Every kind.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.kinds.iter()
    }

    fn named<'a>(
        &'a self,
        index: &'a HashMap<String, Vec<usize>>,
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<Kind>> {
        index.get(name).into_iter().flatten().map(|&at| &self.0.kinds[at])
    }
}

/// `apps/v1` as (`apps`, `v1`), `v1` as ("", `v1`).
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn same(a: &Kind, b: &Kind) -> bool {
    a.group == b.group && a.version == b.version && a.plural == b.plural
}

/// Built-in groups come first, in their fixed order; custom ones follow by name.
fn order(kind: &Kind) -> usize {
    rows::GROUP_ORDER.iter().position(|&g| g == kind.group).unwrap_or(usize::MAX)
}

fn compare(a: &Kind, b: &Kind) -> Ordering {
    let by_version = || compare_versions(&a.version, &b.version);
    a.group.cmp(&b.group).then_with(by_version).then_with(|| a.plural.cmp(&b.plural))
}

fn groups(kinds: &[Arc<Kind>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for kind in kinds {
        match groups.last_mut().filter(|group| group.name == kind.group) {
            None => groups
                .push(Group { name: kind.group.clone(), versions: vec![kind.version.clone()] }),
            Some(group) if group.versions.last() != Some(&kind.version) => {
                group.versions.push(kind.version.clone());
            }
            Some(_) => {}
        }
    }
    groups
}

/// Upstream's order of versions, the preferred one first: stable before beta before alpha, higher
/// numbers first, then what is no version at all by name.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// (stability, major, minor): `v1` is (2, 1, 0), `v2beta3` is (1, 2, 3).
fn parse_version(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = positive(&rest[..digits])?;
    let (stability, minor) = match &rest[digits..] {
        "" => return Some((2, major, 0)),
        tail => tail
            .strip_prefix("beta")
            .map(|minor| (1, minor))
            .or_else(|| tail.strip_prefix("alpha").map(|minor| (0, minor)))?,
    };
    Some((stability, major, positive(minor)?))
}

fn positive(digits: &str) -> Option<u64> {
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_priority() {
        let mut versions =
            ["foo10", "v1alpha1", "v11beta2", "v3beta1", "v10", "v2", "foo1", "v12alpha1", "v1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        let expected =
            ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"];
        assert_eq!(versions, expected);
    }

    #[test]
    fn rows_are_consistent() {
        let kinds = Kinds::known();
        assert_eq!(kinds.iter().count(), rows::known().len());
        for kind in kinds.iter() {
            assert!(rows::GROUP_ORDER.contains(&kind.group.as_str()), "{}", kind.group);
            assert!(kind.verbs.is_sorted(), "{}", kind.plural);
            assert!(kind.subresources.is_sorted_by_key(|s| &s.name), "{}", kind.plural);
            assert!(kinds.preferred(&kind.storage.0, &kind.storage.1).is_some());
            assert_eq!(kinds.by_api_version(&kind.api_version(), &kind.kind), Some(kind));
            assert_eq!(kinds.get(&kind.group, &kind.version, &kind.plural), Some(kind));
        }
    }

    /// What upstream serves by default, line by line, is what the rows say.
    #[test]
    fn rows_are_upstreams() {
        let rows: Vec<String> = Kinds::known().iter().flat_map(|kind| described(kind)).collect();
        let facts: Vec<&str> = FACTS.lines().filter(|line| !line.starts_with('#')).collect();
        for fact in &facts {
            assert!(rows.iter().any(|row| row == fact), "upstream has {fact}");
        }
        for row in &rows {
            assert!(facts.contains(&row.as_str()), "upstream has no {row}");
        }
    }

    const FACTS: &str = include_str!("../../facts/resources.txt");

    /// A line for the kind and each of its subresources.
    fn described(kind: &Kind) -> Vec<String> {
        let place = if kind.namespaced() { "namespaced" } else { "cluster" };
        let (version, plural) = (kind.api_version(), &kind.plural);
        let subresources = kind.subresources.iter().map(|sub| {
            let (name, verbs) = (&sub.name, sub.verbs.join(","));
            // The options of a connection are in its query.
            let body = if sub.body.2.ends_with("Options") { "-" } else { &sub.body.2 };
            format!("{version} {plural}/{name} {body} {place} {verbs}")
        });
        let own = format!("{version} {plural} {} {place} {}", kind.kind, kind.verbs.join(","));
        [own].into_iter().chain(subresources).collect()
    }

    #[test]
    fn custom_kinds_follow_and_replace() {
        let custom = |version: &str| Kind {
            group: "example.com".into(),
            version: version.into(),
            ..rows::known()[0].clone()
        };
        let kinds = Kinds::built_in().with([custom("v1beta1"), custom("v1")]).with([custom("v1")]);
        let last = kinds.groups().last().unwrap();
        assert_eq!(last.name, "example.com");
        assert_eq!(last.versions, ["v1", "v1beta1"]);
        assert_eq!(kinds.preferred("example.com", "bindings").unwrap().version, "v1");
    }
}
