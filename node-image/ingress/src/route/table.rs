//! Rules by port and host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kd_client::Key;
use rustls::sign::CertifiedKey;

use super::{Action, Asked, HostPattern, Match};

/// Everything that is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// By port of the node.
    pub ports: BTreeMap<u16, Port>,
}

/// What one port serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Port {
    /// Its rules; ports of the same rules share them.
    pub routes: Arc<Routes>,
    /// The certificates of hosts, where it speaks TLS.
    pub certificates: Option<Vec<(HostPattern, Arc<CertifiedKey>)>>,
}

impl Port {
    /// The certificate for the host that a client names: that of the narrowest pattern, then that
    /// which came first.
    pub(crate) fn certificate(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let all = self.certificates.iter().flatten();
        let covering = all.filter(|(pattern, _)| pattern.covers(host));
        covering.rev().max_by_key(|(pattern, _)| pattern.suffix().len()).map(|(_, key)| key)
    }
}

/// Who comes first among equals: the older object, then the first by name, then the rule's place in it.
pub(crate) type Age = (Option<Timestamp>, Key, usize);

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Which requests.
    pub matches: Match,
    /// Whether it only counts when no other rule does.
    pub is_last_resort: bool,
    /// Who comes first among equals.
    pub age: Age,
    /// What is done.
    pub action: Arc<Action>,
}

/// Rules by host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    exact: HashMap<String, Vec<Rule>>,
    /// By what follows `*.`; of Ingresses and of Gateways.
    one_label: HashMap<String, Vec<Rule>>,
    labels: HashMap<String, Vec<Rule>>,
    any: Vec<Rule>,
}

impl Routes {
    /// Adds a rule for a host.
    pub(crate) fn insert(&mut self, host: HostPattern, rule: Rule) {
        let rules = match host {
            HostPattern::Exact(host) => self.exact.entry(host).or_default(),
            HostPattern::OneLabel(suffix) => self.one_label.entry(suffix).or_default(),
            HostPattern::Labels(suffix) => self.labels.entry(suffix).or_default(),
            HostPattern::Any => &mut self.any,
        };
        rules.push(rule);
    }

    /// What is done by any rule.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        let by_host = self.exact.values().chain(self.one_label.values());
        let rules = by_host.chain(self.labels.values()).chain([&self.any]).flatten();
        rules.map(|rule| &*rule.action)
    }

    /// Puts the rules into the order in which they are tried.
    pub(crate) fn sort(&mut self) {
        let by_suffix = self.one_label.values_mut().chain(self.labels.values_mut());
        for rules in self.exact.values_mut().chain(by_suffix).chain([&mut self.any]) {
            rules.sort_by(|one, other| {
                let rank = |rule: &Rule| (rule.is_last_resort, rule.matches.rank());
                rank(one).cmp(&rank(other)).then_with(|| one.age.cmp(&other.age))
            });
        }
    }

    /// The rule for a request: that of the narrowest host that has one.
    pub(crate) fn find(&self, asked: &Asked<'_>) -> Option<&Rule> {
        let exact = self.exact.get(asked.host).and_then(|rules| first(rules, asked));
        exact.or_else(|| self.find_by_suffix(asked)).or_else(|| first(&self.any, asked))
    }

    fn find_by_suffix(&self, asked: &Asked<'_>) -> Option<&Rule> {
        if self.one_label.is_empty() && self.labels.is_empty() {
            return None;
        }
        let dots = asked.host.match_indices('.').filter(|(at, _)| *at > 0);
        for (count, (at, _)) in dots.enumerate() {
            let suffix = &asked.host[at + 1..];
            let of_one = self.one_label.get(suffix).filter(|_| count == 0);
            let mut all = of_one.into_iter().chain(self.labels.get(suffix));
            if let Some(rule) = all.find_map(|rules| first(rules, asked)) {
                return Some(rule);
            }
        }
        None
    }
}

/// The first rule that a request is for.
fn first<'a>(rules: &'a [Rule], asked: &Asked<'_>) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.matches.holds(asked))
}
