//! The RBAC authorizer: bindings indexed by subject, compiled again only when a role or a binding
//! has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kd_api::selector::Selector;
use serde_json::Value;

use super::rule::{PolicyRule, rules_of};
use crate::request::{Authorizer, Decision, Reader, RequestInfo, UserInfo};

/// The API group of roles and bindings.
pub const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
/// Members may do everything.
pub const SUPERUSERS: &str = "system:masters";
/// The order of [`Compiled::generations`].
const RESOURCES: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// Roles and bindings decide.
pub struct RbacAuthorizer {
    reader: Arc<dyn Reader>,
    compiled: Mutex<Arc<Compiled>>,
}

/// What a user holds, and the bindings that lead nowhere.
#[derive(Debug, Default, PartialEq)]
pub struct HeldRules {
    /// The rules, cluster-wide ones first.
    pub rules: Vec<PolicyRule>,
    /// `clusterrole.rbac.authorization.k8s.io "x" not found`.
    pub errors: Vec<String>,
}

#[derive(Default)]
struct Compiled {
    generations: Option<[u64; 4]>,
    cluster: Grants,
    namespaces: HashMap<String, Grants>,
}

/// Grants of one scope by subject.
#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

#[derive(Clone)]
struct Grant {
    /// `ClusterRoleBinding "a" of ClusterRole "b" to User "c"`.
    description: String,
    /// The rules, or why there are none.
    rules: Result<Arc<Vec<PolicyRule>>, String>,
}

impl RbacAuthorizer {
    /// Reads roles and bindings through `reader`.
    pub fn new(reader: Arc<dyn Reader>) -> RbacAuthorizer {
        RbacAuthorizer { reader, compiled: Mutex::default() }
    }

    /// The rules a user holds in a namespace ("" for cluster scope only).
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> HeldRules {
        let mut held = HeldRules::default();
        let compiled = self.compiled();
        for grant in compiled.grants(user, namespace) {
            match &grant.rules {
                Ok(rules) => held.rules.extend(rules.iter().cloned()),
                Err(error) => held.errors.push(error.clone()),
            }
        }
        held
    }

    /// The rules of a binding's roleRef; the error is upstream's `... not found`.
    pub fn rules_of_reference(
        &self,
        role: &Value,
        namespace: &str,
    ) -> Result<Arc<Vec<PolicyRule>>, String> {
        Roles::read(self.reader.as_ref()).rules_of_reference(role, namespace)
    }

    /// [`Authorizer::authorize`] without the future: RBAC never waits.
    pub fn decide(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        if user.groups.iter().any(|group| group == SUPERUSERS) {
            return Decision::Allow(String::new());
        }
        let mut errors = Vec::new();
        let compiled = self.compiled();
        for grant in compiled.grants(user, &info.namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(info)) => {
                    return Decision::Allow(format!("RBAC: allowed by {}", grant.description));
                }
                Ok(_) => {}
                Err(error) => errors.push(error.clone()),
            }
        }
        Decision::NoOpinion(match errors.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        })
    }

    fn compiled(&self) -> Arc<Compiled> {
        let generations = RESOURCES.map(|resource| self.reader.generation(RBAC_GROUP, resource));
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.generations != Some(generations) {
            *compiled = Arc::new(Compiled::read(self.reader.as_ref(), generations));
        }
        compiled.clone()
    }
}

#[async_trait]
impl Authorizer for RbacAuthorizer {
    async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        self.decide(user, info)
    }
}

impl Compiled {
    fn read(reader: &dyn Reader, generations: [u64; 4]) -> Compiled {
        let roles = Roles::read(reader);
        let mut compiled = Compiled { generations: Some(generations), ..Compiled::default() };
        for binding in reader.list(RBAC_GROUP, "clusterrolebindings", None) {
            compiled.cluster.add(&binding, "", &roles);
        }
        for binding in reader.list(RBAC_GROUP, "rolebindings", None) {
            let namespace = binding["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
            let grants = compiled.namespaces.entry(namespace.clone()).or_default();
            grants.add(&binding, &namespace, &roles);
        }
        compiled
    }

    fn grants<'a>(
        &'a self,
        user: &'a UserInfo,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Grant> {
        let scoped = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        [Some(&self.cluster), scoped].into_iter().flatten().flat_map(|grants| {
            let groups = user.groups.iter().filter_map(|group| grants.groups.get(group));
            grants.users.get(&user.username).into_iter().chain(groups).flatten()
        })
    }
}

impl Grants {
    fn add(&mut self, binding: &Value, namespace: &str, roles: &Roles) {
        let role = &binding["roleRef"];
        let rules = roles.rules_of_reference(role, namespace);
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let of_role = format!("{} {:?}", text(&role["kind"]), text(&role["name"]));
        let name = text(&binding["metadata"]["name"]);
        let binding_text = match namespace {
            "" => format!("ClusterRoleBinding {name:?} of {of_role}"),
            _ => format!("RoleBinding {:?} of {of_role}", format!("{name}/{namespace}")),
        };
        let subjects = binding["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
        for subject in subjects {
            let kind = text(&subject["kind"]);
            let subject_name = text(&subject["name"]);
            let mut shown = format!("{subject_name:?}");
            let index = match kind.as_str() {
                "User" => self.users.entry(subject_name),
                "Group" => self.groups.entry(subject_name),
                "ServiceAccount" => {
                    let own = subject["namespace"].as_str().unwrap_or("");
                    let account_namespace = if own.is_empty() { namespace } else { own };
                    if account_namespace.is_empty() {
                        continue;
                    }
                    shown = format!("{:?}", format!("{subject_name}/{account_namespace}"));
                    let user = format!("system:serviceaccount:{account_namespace}:{subject_name}");
                    self.users.entry(user)
                }
                _ => continue,
            };
            let description = format!("{binding_text} to {kind} {shown}");
            index.or_default().push(Grant { description, rules: rules.clone() });
        }
    }
}

/// All roles with their rules, aggregation applied.
struct Roles {
    cluster: HashMap<String, Arc<Vec<PolicyRule>>>,
    namespaced: HashMap<(String, String), Arc<Vec<PolicyRule>>>,
}

impl Roles {
    fn read(reader: &dyn Reader) -> Roles {
        let objects = reader.list(RBAC_GROUP, "clusterroles", None);
        let cluster = objects
            .iter()
            .map(|role| (name_of(role).to_owned(), Arc::new(cluster_rules(role, &objects))))
            .collect();
        let namespaced = reader
            .list(RBAC_GROUP, "roles", None)
            .iter()
            .map(|role| {
                let namespace = role["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
                ((namespace, name_of(role).to_owned()), Arc::new(rules_of(role)))
            })
            .collect();
        Roles { cluster, namespaced }
    }

    fn rules_of_reference(
        &self,
        role: &Value,
        namespace: &str,
    ) -> Result<Arc<Vec<PolicyRule>>, String> {
        let name = role["name"].as_str().unwrap_or("");
        let (found, resource) = match role["kind"].as_str() {
            Some("Role") => (self.namespaced.get(&(namespace.to_owned(), name.to_owned())), "role"),
            _ => (self.cluster.get(name), "clusterrole"),
        };
        found.cloned().ok_or_else(|| format!("{resource}.{RBAC_GROUP} {name:?} not found"))
    }
}

/// The rules of a ClusterRole. An aggregated role is computed here and not read from its stored
/// rules, so that a new role counts at once.
pub(super) fn cluster_rules(role: &Value, all: &[Arc<Value>]) -> Vec<PolicyRule> {
    let mut rules = Vec::new();
    let mut seen = Vec::new();
    collect_rules(role, all, &mut seen, &mut rules);
    rules
}

fn collect_rules<'a>(
    role: &'a Value,
    all: &'a [Arc<Value>],
    seen: &mut Vec<&'a str>,
    rules: &mut Vec<PolicyRule>,
) {
    let name = name_of(role);
    if seen.contains(&name) {
        return;
    }
    seen.push(name);
    let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
        for rule in rules_of(role) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        return;
    };
    for other in all.iter().filter(|other| name_of(other) != name) {
        let labels = &other["metadata"]["labels"];
        if selectors.iter().any(|selector| selects(selector, labels)) {
            collect_rules(other, all, seen, rules);
        }
    }
}

/// Whether a metav1.LabelSelector matches a map of labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    Selector::from_object(selector).is_ok_and(|selector| selector.matches(labels))
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or("")
}
