//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: which policies a request meets, through which
//! bindings and with which parameters. What they say is in `validating` and `mutating`.

mod definition;
mod mutating;
mod mutation;
mod params;
mod type_check;
mod validating;
mod validation;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kd_api::{Object, Status};
use kd_cel::Environment;
use serde_json::Value;

pub(crate) use definition::expression_errors;
pub(super) use mutating::MutatingPolicies;
pub(crate) use type_check::expression_warnings;
pub(super) use validating::ValidatingPolicies;

use super::expressions::{Conditions, Variables, environment};
use super::webhooks::{self, Criteria, GROUP, Invocation, invocation};
use crate::authz::UnionAuthorizer;
use crate::request::{AdmissionAttributes, Reader};

/// Reviews are questions, and no policy decides whether they may be asked.
const EXCLUDED: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// What both plugins need.
#[derive(Clone)]
pub(super) struct Resources {
    pub(super) reader: Arc<dyn Reader>,
    pub(super) authorizer: Arc<UnionAuthorizer>,
    /// Knows the kinds and converts between their versions.
    pub(super) webhooks: webhooks::Resources,
}

/// A policy, compiled; `rules` is what only one sort of policy has.
struct Policy<R> {
    name: String,
    ignores_failure: bool,
    criteria: Criteria,
    /// `apiVersion` and `kind` of the parameters.
    param_kind: Option<(String, String)>,
    variables: Arc<Variables>,
    conditions: Conditions,
    rules: R,
}

impl<R> Policy<R> {
    fn new(policy: &Value, rules: fn(&Value, &Environments) -> R) -> Policy<R> {
        let spec = &policy["spec"];
        let param_kind = spec.get("paramKind").filter(|kind| kind.is_object());
        let has_params = param_kind.is_some();
        let (variables, full) = Variables::of(spec, environment(has_params, true));
        let (_, messages) = Variables::of(spec, environment(has_params, false));
        let environments = Environments { full, messages };
        Policy {
            name: policy.name().to_owned(),
            ignores_failure: spec.str_at(&["failurePolicy"]) == "Ignore",
            criteria: Criteria::of_policy(&spec["matchConstraints"]),
            param_kind: param_kind.map(|kind| {
                (kind.str_at(&["apiVersion"]).to_owned(), kind.str_at(&["kind"]).to_owned())
            }),
            variables,
            conditions: Conditions::of(spec, &environments.full),
            rules: rules(spec, &environments),
        }
    }
}

/// What the expressions of a policy may use.
struct Environments {
    full: Environment,
    /// Without the authorizer.
    messages: Environment,
}

/// A binding.
struct Binding {
    name: String,
    criteria: Criteria,
    /// Null if there is none.
    param_ref: Value,
    /// `Deny`, `Warn`, `Audit`.
    actions: Vec<String>,
}

impl Binding {
    fn new(binding: &Value) -> Binding {
        let spec = &binding["spec"];
        let actions = spec.list_at(&["validationActions"]).iter();
        Binding {
            name: binding.name().to_owned(),
            criteria: Criteria::of_policy(&spec["matchResources"]),
            param_ref: spec["paramRef"].clone(),
            actions: actions.filter_map(|action| action.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// A policy with its bindings.
struct Bound<R> {
    policy: Arc<Policy<R>>,
    bindings: Vec<Arc<Binding>>,
}

/// A policy that a request meets, with everything that it is evaluated with.
struct Met<R> {
    policy: Arc<Policy<R>>,
    binding: Arc<Binding>,
    invocation: Invocation,
    params: Vec<Option<Arc<Value>>>,
}

/// A policy or binding that cannot be used.
struct Misconfigured<R> {
    policy: Arc<Policy<R>>,
    binding: Option<Arc<Binding>>,
    message: String,
}

type Outcome<R> = Result<Met<R>, Misconfigured<R>>;

/// The policies of one sort, compiled again when they have changed.
struct Configured<R> {
    policies: &'static str,
    bindings: &'static str,
    rules: fn(&Value, &Environments) -> R,
    kept: Mutex<Kept<R>>,
}

struct Kept<R> {
    generations: Option<(u64, u64)>,
    bound: Arc<[Bound<R>]>,
    /// By name, with the UID and generation that were compiled.
    compiled: HashMap<String, (String, Arc<Policy<R>>)>,
}

impl<R> Configured<R> {
    fn new(
        policies: &'static str,
        bindings: &'static str,
        rules: fn(&Value, &Environments) -> R,
    ) -> Configured<R> {
        let kept =
            Kept { generations: None, bound: Arc::from(Vec::new()), compiled: HashMap::new() };
        Configured { policies, bindings, rules, kept: Mutex::new(kept) }
    }

    /// All policies that have bindings, by name.
    fn bound(&self, reader: &dyn Reader) -> Arc<[Bound<R>]> {
        // Asked before the lists: what changes in between is read again the next time.
        let of = |resource| reader.generation(GROUP, resource);
        let generations = (of(self.policies), of(self.bindings));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generations == Some(generations) {
            return kept.bound.clone();
        }
        let mut bindings: BTreeMap<String, Vec<Arc<Binding>>> = BTreeMap::new();
        for binding in reader.list(GROUP, self.bindings, None) {
            let policy = binding.str_at(&["spec", "policyName"]).to_owned();
            bindings.entry(policy).or_default().push(Arc::new(Binding::new(&binding)));
        }
        let mut compiled = HashMap::new();
        let mut bound = Vec::new();
        for policy in reader.list(GROUP, self.policies, None) {
            let Some(bindings) = bindings.remove(policy.name()) else { continue };
            let state = format!(
                "{}/{}",
                policy.uid(),
                policy.i64_at(&["metadata", "generation"]).unwrap_or(0)
            );
            let known = kept.compiled.remove(policy.name()).filter(|(of, _)| *of == state);
            let known = known.map(|(_, policy)| policy);
            let own = known.unwrap_or_else(|| Arc::new(Policy::new(&policy, self.rules)));
            compiled.insert(own.name.clone(), (state, own.clone()));
            bound.push(Bound { policy: own, bindings });
        }
        *kept = Kept { generations: Some(generations), bound: bound.into(), compiled };
        kept.bound.clone()
    }

    /// The policies that a request meets, in the order in which they are evaluated.
    fn met(&self, resources: &Resources, attributes: &AdmissionAttributes<'_>) -> Vec<Outcome<R>> {
        let info = attributes.info;
        if EXCLUDED.contains(&(info.group.as_str(), info.resource.as_str())) {
            return Vec::new();
        }
        let mut met = Vec::new();
        for Bound { policy, bindings } in &*self.bound(&*resources.reader) {
            let misconfigured = |binding: Option<&Arc<Binding>>, message: String| Misconfigured {
                policy: policy.clone(),
                binding: binding.cloned(),
                message,
            };
            let invocation = match resources.matches(&policy.criteria, attributes) {
                Ok(None) => continue,
                Ok(Some(invocation)) => invocation,
                Err(status) => {
                    met.push(Err(misconfigured(None, status.message)));
                    continue;
                }
            };
            if let Err(message) = resources.check_param_kind(policy.param_kind.as_ref()) {
                met.push(Err(misconfigured(None, message)));
                continue;
            }
            for binding in bindings {
                match resources.matches(&binding.criteria, attributes) {
                    Ok(None) => continue,
                    Ok(Some(_)) => {}
                    Err(status) => {
                        met.push(Err(misconfigured(Some(binding), status.message)));
                        continue;
                    }
                }
                let kind = policy.param_kind.as_ref();
                met.push(match resources.params(kind, &binding.param_ref, &info.namespace) {
                    Err(message) => Err(misconfigured(Some(binding), message)),
                    Ok(params) => Ok(Met {
                        policy: policy.clone(),
                        binding: binding.clone(),
                        invocation: invocation.clone(),
                        params,
                    }),
                });
            }
        }
        met
    }
}

impl<R> Misconfigured<R> {
    fn message(&self) -> String {
        let what = if self.binding.is_some() { "binding" } else { "policy" };
        format!("failed to configure {what}: {}", self.message)
    }
}

impl Resources {
    fn matches(
        &self,
        criteria: &Criteria,
        attributes: &AdmissionAttributes<'_>,
    ) -> Result<Option<Invocation>, Status> {
        invocation(criteria, attributes, &*self.reader, &(self.webhooks.kinds)())
    }
}
