//! Which rules are covered by which: the core of escalation checks.

use std::collections::BTreeMap;

use super::rule::{PolicyRule, has, url_covers};

/// The parts of `wanted` that `held` does not cover, verbs of one resource joined.
pub fn missing_rules(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let missing = wanted
        .iter()
        .flat_map(single_rules)
        .filter(|rule| !held.iter().any(|owner| covers(owner, rule)))
        .collect();
    joined_by_verbs(missing)
}

/// A rule as rules of one verb, one group, one resource, one name (or one path).
fn single_rules(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |word: &String| vec![word.clone()];
    let mut singles = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let base = PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    singles.push(base.clone());
                }
                for name in &rule.resource_names {
                    singles.push(PolicyRule { resource_names: one(name), ..base.clone() });
                }
            }
        }
        for url in &rule.non_resource_urls {
            singles.push(PolicyRule {
                verbs: one(verb),
                non_resource_urls: one(url),
                ..PolicyRule::default()
            });
        }
    }
    singles
}

/// Whether `owner` covers a single rule.
fn covers(owner: &PolicyRule, single: &PolicyRule) -> bool {
    single.verbs.iter().all(|verb| has(&owner.verbs, verb))
        && single.api_groups.iter().all(|group| has(&owner.api_groups, group))
        && single.resources.iter().all(|resource| covers_resource(owner, resource))
        && single
            .non_resource_urls
            .iter()
            .all(|url| owner.non_resource_urls.iter().any(|pattern| url_covers(pattern, url)))
        && (owner.resource_names.is_empty()
            || (!single.resource_names.is_empty()
                && single.resource_names.iter().all(|name| owner.resource_names.contains(name))))
}

fn covers_resource(owner: &PolicyRule, resource: &str) -> bool {
    has(&owner.resources, resource)
        || resource
            .split_once('/')
            .is_some_and(|(_, child)| owner.resources.contains(&format!("*/{child}")))
}

fn joined_by_verbs(singles: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut order: Vec<PolicyRule> = Vec::new();
    let mut position: BTreeMap<PolicyRule, usize> = BTreeMap::new();
    for single in singles {
        let key = PolicyRule { verbs: Vec::new(), ..single.clone() };
        // Paths are kept apart, as upstream does.
        if !single.non_resource_urls.is_empty() {
            order.push(single);
            continue;
        }
        match position.get(&key) {
            Some(&at) => {
                for verb in single.verbs {
                    if !order[at].verbs.contains(&verb) {
                        order[at].verbs.push(verb);
                    }
                }
            }
            None => {
                position.insert(key, order.len());
                order.push(single);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(held: Value, wanted: Value, expect: &[&str]) {
        let rules = |list: &Value| -> Vec<PolicyRule> {
            list.as_array().unwrap().iter().map(PolicyRule::from_value).collect()
        };
        let missing = missing_rules(&rules(&held), &rules(&wanted));
        let texts: Vec<String> = missing.iter().map(PolicyRule::compact).collect();
        assert_eq!(texts, expect);
    }

    #[test]
    fn what_is_missing() {
        let pods =
            |verbs: &[&str]| json!([{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]);
        check(pods(&["get", "list"]), pods(&["get"]), &[]);
        check(
            pods(&["get"]),
            pods(&["get", "list", "watch"]),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#],
        );
        check(pods(&["*"]), pods(&["*"]), &[]);
        check(
            pods(&["get"]),
            pods(&["*"]),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#],
        );
        let named = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]);
        check(pods(&["get"]), named.clone(), &[]);
        check(named, pods(&["get"]), &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#]);
        check(
            json!([{"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"]}]),
            json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]),
            &[],
        );
        check(
            json!([{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}]),
            json!([{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/c"]}]),
            &[r#"{NonResourceURLs:["/c"], Verbs:["get"]}"#],
        );
    }
}
