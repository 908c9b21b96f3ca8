//! Authorization checks. Who decides is the caller's: a trait that answers without waiting.

use std::fmt;
use std::sync::Arc;

use super::format::{dns_label, dns_subdomain};
use super::{Context, Opaque, Outcome, Row, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

macro_rules! with {
    ($receiver:literal, $rest:literal, $result:literal) => {
        concat!(
            "kubernetes.authorization.",
            $receiver,
            ", ",
            $rest,
            "kubernetes.authorization.",
            $result
        )
    };
}

/// Decides what a user may do.
pub trait Authorizer: Send + Sync {
    /// Whether the user, or the service account `(namespace, name)` if there is one, may do it to a path.
    fn check_path(&self, account: Option<(&str, &str)>, check: &PathCheck) -> Decision;

    /// Likewise, to a resource.
    fn check_resource(&self, account: Option<(&str, &str)>, check: &ResourceCheck) -> Decision;
}

/// What is to be done to a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathCheck {
    /// The path.
    pub path: String,
    /// The method in lower case.
    pub verb: String,
}

/// What is to be done to a resource; an empty text is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ResourceCheck {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

/// A decision, with what led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong while it was decided.
    pub error: Option<String>,
}

pub(super) const ROWS: &[Row] = &[
    member("path", with!("Authorizer", "string -> ", "PathCheck"), Cost::Nominal, path),
    member("group", with!("Authorizer", "string -> ", "GroupCheck"), Cost::Nominal, group),
    member(
        "serviceAccount",
        with!("Authorizer", "string, string -> ", "Authorizer"),
        Cost::Nominal,
        service_account,
    ),
    member("resource", with!("GroupCheck", "string -> ", "ResourceCheck"), Cost::Nominal, resource),
    member("subresource", REFINE, Cost::Nominal, |_, args| {
        refine(args, |check| &mut check.subresource)
    }),
    member("namespace", REFINE, Cost::Nominal, |_, args| {
        refine(args, |check| &mut check.namespace)
    }),
    member("name", REFINE, Cost::Nominal, |_, args| refine(args, |check| &mut check.name)),
    member("fieldSelector", REFINE, Cost::Selector, |_, args| {
        refine(args, |check| &mut check.field_selector)
    }),
    member("labelSelector", REFINE, Cost::Selector, |_, args| {
        refine(args, |check| &mut check.label_selector)
    }),
    member("check", with!("PathCheck", "string -> ", "Decision"), Cost::Authorization, check_path),
    member(
        "check",
        with!("ResourceCheck", "string -> ", "Decision"),
        Cost::Authorization,
        check_resource,
    ),
    member("allowed", "kubernetes.authorization.Decision -> bool", Cost::Nominal, |_, args| {
        Ok(Value::Bool(decision(args)?.allowed))
    }),
    member("reason", "kubernetes.authorization.Decision -> string", Cost::Nominal, |_, args| {
        Ok(Value::from(decision(args)?.reason.as_str()))
    }),
    member("errored", "kubernetes.authorization.Decision -> bool", Cost::Nominal, |_, args| {
        Ok(Value::Bool(decision(args)?.error.is_some()))
    }),
    member("error", "kubernetes.authorization.Decision -> string", Cost::Nominal, |_, args| {
        Ok(Value::from(decision(args)?.error.as_deref().unwrap_or("")))
    }),
];

const REFINE: &str = with!("ResourceCheck", "string -> ", "ResourceCheck");

/// The variable `authorizer`: who decides, and for which service account if not for the user.
#[derive(Clone)]
pub struct AuthorizerValue {
    decider: Arc<dyn Authorizer>,
    /// Namespace and name.
    account: Option<Arc<(String, String)>>,
}

impl fmt::Debug for AuthorizerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizerValue").field("account", &self.account).finish_non_exhaustive()
    }
}

impl AuthorizerValue {
    pub(super) fn is_same(&self, other: &AuthorizerValue) -> bool {
        Arc::ptr_eq(&self.decider, &other.decider) && self.account == other.account
    }

    fn account(&self) -> Option<(&str, &str)> {
        let account = self.account.as_deref();
        account.map(|(namespace, name)| (namespace.as_str(), name.as_str()))
    }
}

/// A path that is asked about.
#[derive(Debug)]
pub struct PathCheckValue {
    authorizer: AuthorizerValue,
    path: String,
}

/// A group that is asked about.
#[derive(Debug)]
pub struct GroupCheck {
    authorizer: AuthorizerValue,
    group: String,
}

/// A resource that is asked about.
#[derive(Clone, Debug)]
pub struct ResourceCheckValue {
    authorizer: AuthorizerValue,
    check: ResourceCheck,
}

/// What was decided.
pub type DecisionValue = Decision;

impl Value {
    /// The variable `authorizer` (type `kubernetes.authorization.Authorizer`).
    pub fn authorizer(decider: Arc<dyn Authorizer>) -> Value {
        Value::Opaque(Opaque::Authorizer(AuthorizerValue { decider, account: None }))
    }

    /// The variable `authorizer.requestResource`: the resource of the request, ready to be checked.
    pub fn resource_check(decider: Arc<dyn Authorizer>, check: ResourceCheck) -> Value {
        let authorizer = AuthorizerValue { decider, account: None };
        let value = ResourceCheckValue { authorizer, check };
        Value::Opaque(Opaque::ResourceCheck(Arc::new(value)))
    }
}

fn receiver(args: &[Value]) -> Result<&Opaque, Error> {
    match args.first() {
        Some(Value::Opaque(opaque)) => Ok(opaque),
        _ => Err(mismatch()),
    }
}

fn authorizer(args: &[Value]) -> Result<&AuthorizerValue, Error> {
    match receiver(args)? {
        Opaque::Authorizer(authorizer) => Ok(authorizer),
        _ => Err(mismatch()),
    }
}

fn decision(args: &[Value]) -> Result<&Decision, Error> {
    match receiver(args)? {
        Opaque::Decision(decision) => Ok(decision),
        _ => Err(mismatch()),
    }
}

fn path(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let path = text(args, 1)?;
    if path.trim().is_empty() {
        return Err(Error::other("path must not be empty"));
    }
    let value = PathCheckValue { authorizer: authorizer(args)?.clone(), path: path.to_owned() };
    Ok(Value::Opaque(Opaque::PathCheck(Arc::new(value))))
}

fn group(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let group = text(args, 1)?.to_owned();
    let value = GroupCheck { authorizer: authorizer(args)?.clone(), group };
    Ok(Value::Opaque(Opaque::GroupCheck(Arc::new(value))))
}

fn service_account(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (namespace, name) = (text(args, 1)?, text(args, 2)?);
    if !dns_subdomain(name).is_empty() {
        return Err(Error::other("Invalid service account name"));
    }
    if !dns_label(namespace).is_empty() {
        return Err(Error::other("Invalid service account namespace"));
    }
    let account = Some(Arc::new((namespace.to_owned(), name.to_owned())));
    let decider = authorizer(args)?.decider.clone();
    Ok(Value::Opaque(Opaque::Authorizer(AuthorizerValue { decider, account })))
}

fn resource(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let Opaque::GroupCheck(group) = receiver(args)? else { return Err(mismatch()) };
    let resource = text(args, 1)?;
    if resource.trim().is_empty() {
        return Err(Error::other("resource must not be empty"));
    }
    let check = ResourceCheck {
        group: group.group.clone(),
        resource: resource.to_owned(),
        ..ResourceCheck::default()
    };
    let value = ResourceCheckValue { authorizer: group.authorizer.clone(), check };
    Ok(Value::Opaque(Opaque::ResourceCheck(Arc::new(value))))
}

fn refine(args: &[Value], part: fn(&mut ResourceCheck) -> &mut String) -> Outcome {
    let Opaque::ResourceCheck(value) = receiver(args)? else { return Err(mismatch()) };
    let mut value = value.as_ref().clone();
    text(args, 1)?.clone_into(part(&mut value.check));
    Ok(Value::Opaque(Opaque::ResourceCheck(Arc::new(value))))
}

fn check_path(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let Opaque::PathCheck(value) = receiver(args)? else { return Err(mismatch()) };
    let check = PathCheck { path: value.path.clone(), verb: text(args, 1)?.to_owned() };
    let decided = value.authorizer.decider.check_path(value.authorizer.account(), &check);
    Ok(Value::Opaque(Opaque::Decision(Arc::new(decided))))
}

fn check_resource(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let Opaque::ResourceCheck(value) = receiver(args)? else { return Err(mismatch()) };
    let mut check = value.check.clone();
    text(args, 1)?.clone_into(&mut check.verb);
    let decided = value.authorizer.decider.check_resource(value.authorizer.account(), &check);
    Ok(Value::Opaque(Opaque::Decision(Arc::new(decided))))
}
