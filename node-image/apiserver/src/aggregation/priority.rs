//! In which order groups and versions are listed.

use kd_api::kind::METRICS_GROUP;

/// What custom kinds have.
const CUSTOM: Priority = Priority { group: 1000, version: 100 };

/// Higher goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priority {
    pub(super) group: i64,
    pub(super) version: i64,
}

/// Group, priority of the group, versions with theirs.
type Row = (&'static str, i64, &'static [(&'static str, i64)]);

/// The built-in groups, which upstream lists in this order.
const ROWS: &[Row] = &[
    ("", 18000, &[("v1", 1)]),
    ("apps", 17800, &[("v1", 15)]),
    ("events.k8s.io", 17750, &[("v1", 15)]),
    ("authentication.k8s.io", 17700, &[("v1", 15)]),
    ("authorization.k8s.io", 17600, &[("v1", 15)]),
    ("autoscaling", 17500, &[("v2", 30), ("v1", 15)]),
    ("batch", 17400, &[("v1", 15)]),
    ("certificates.k8s.io", 17300, &[("v1", 15)]),
    ("networking.k8s.io", 17200, &[("v1", 15)]),
    ("policy", 17100, &[("v1", 15)]),
    ("rbac.authorization.k8s.io", 17000, &[("v1", 15)]),
    ("storage.k8s.io", 16800, &[("v1", 15)]),
    ("admissionregistration.k8s.io", 16700, &[("v1", 15)]),
    ("apiextensions.k8s.io", 16700, &[("v1", 15)]),
    ("scheduling.k8s.io", 16600, &[("v1", 15)]),
    ("coordination.k8s.io", 16500, &[("v1", 15)]),
    ("node.k8s.io", 16300, &[("v1", 15)]),
    ("discovery.k8s.io", 16200, &[("v1", 15)]),
    ("flowcontrol.apiserver.k8s.io", 16100, &[("v1", 21)]),
    ("resource.k8s.io", 15900, &[("v1", 9)]),
    (METRICS_GROUP, 100, &[("v1beta1", 100)]),
];

/// Of a group and version that this server answers for, and whether it is built in. What registers
/// the others is not registered itself, and comes first.
pub(super) fn local(group: &str, version: &str) -> (Priority, bool) {
    if group == super::GROUP {
        return (Priority { group: i64::MAX, version: 18 }, true);
    }
    let row = ROWS.iter().find(|(name, ..)| *name == group);
    let Some((_, group, versions)) = row else { return (CUSTOM, false) };
    let found = versions.iter().find(|(name, _)| *name == version);
    // A custom version of a group of ours is still no built-in one.
    found.map_or((CUSTOM, false), |(_, version)| {
        (Priority { group: *group, version: *version }, true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;

    #[test]
    fn every_built_in_version_has_a_priority() {
        assert!(ROWS.is_sorted_by_key(|(_, priority, _)| -priority));
        for kind in Kinds::known().iter() {
            assert!(local(&kind.group, &kind.version).1, "{}", kind.api_version());
        }
        assert_eq!(local("example.com", "v1"), (CUSTOM, false));
    }

    #[test]
    fn the_order_is_that_of_the_kinds() {
        let kinds = Kinds::known();
        let named = kinds.groups().iter().filter(|group| !group.name.is_empty());
        let priorities = named.map(|group| -local(&group.name, &group.versions[0]).0.group);
        assert!(priorities.is_sorted());
    }
}
