//! What expressions of webhooks and policies see of a request, and how they are run: compiled once,
//! evaluated within a budget, their failures in upstream's words.

mod authorizer;
mod conditions;
mod environment;
mod variables;

use std::sync::Arc;

use kd_api::{FieldError, Object, Path, Status};
use kd_cel::{Activation, Budget, Environment, Error, Program, ResourceCheck, Type, Value as Cel};
use serde_json::{Value, json};

pub(super) use conditions::{Conditions, Held};
pub(super) use environment::environment;
pub(super) use variables::{Scope, Variables};

use super::webhooks::{Invocation, operation_name};
use crate::authz::{UnionAuthorizer, user_value};
use crate::request::{AdmissionAttributes, Operation, Reader};
use authorizer::RequestAuthorizer;

/// What is said when the evaluations for one object cost more than they may together.
pub(super) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// An expression, compiled if it can be.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    program: Result<Program, String>,
}

impl Expression {
    /// Compiles an expression, whose value must be of one of the types.
    pub(super) fn new(environment: &Environment, text: &str, types: &[Type]) -> Expression {
        Expression { text: text.to_owned(), program: compile(environment, text, types) }
    }

    /// As it was written, without white space around.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// What is wrong with it, if it cannot be compiled. That it is missing is said elsewhere.
    pub(super) fn flaw(&self, path: Path) -> Option<FieldError> {
        let why = self.program.as_ref().err().filter(|_| !self.text().is_empty())?;
        Some(FieldError::invalid(path, self.text(), why.as_str()))
    }

    /// The value; the inner error is the expression's own.
    ///
    /// # Errors
    /// [`OUT_OF_BUDGET`].
    pub(super) fn evaluate(
        &self,
        scope: &Scope,
        budget: &mut Budget,
    ) -> Result<Result<Cel, String>, String> {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let outcome = program.evaluate(&scope.activation, budget);
        let spent = budget.take(scope.take_cost());
        match outcome {
            Err(Error::OutOfBudget) => Err(OUT_OF_BUDGET.to_owned()),
            _ if spent.is_err() => Err(OUT_OF_BUDGET.to_owned()),
            Err(error) => Ok(Err(format!("expression '{}' resulted in error: {error}", self.text))),
            Ok(value) => Ok(Ok(value)),
        }
    }
}

/// Compiles an expression, whose value must be of one of the types.
///
/// # Errors
/// In upstream's words.
fn compile(environment: &Environment, text: &str, types: &[Type]) -> Result<Program, String> {
    let program =
        environment.compile(text).map_err(|error| format!("compilation failed: {error}"))?;
    let found = program.result_type();
    if types.is_empty() || types.contains(found) {
        return Ok(program);
    }
    let shown = |type_: &Type| match type_ {
        Type::Null => "null_type".to_owned(),
        other => other.to_string(),
    };
    let wanted: Vec<String> = types.iter().map(shown).collect();
    Err(match wanted.as_slice() {
        [one] => format!("must evaluate to {one} but got {}", shown(found)),
        several => {
            format!("must evaluate to one of [{}] but got {}", several.join(" "), shown(found))
        }
    })
}

/// A request as expressions see it.
pub(super) struct Request<'a> {
    pub(super) attributes: &'a AdmissionAttributes<'a>,
    pub(super) invocation: &'a Invocation,
    /// In the invocation's version; Null if there is none.
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
}

impl Request<'_> {
    /// The variables of the request, without parameters.
    pub(super) fn activation(
        &self,
        namespace: Option<&Value>,
        authorizer: &Arc<UnionAuthorizer>,
    ) -> Activation {
        let info = self.attributes.info;
        let decider = Arc::new(RequestAuthorizer::new(authorizer.clone(), self.attributes.user));
        let resource = ResourceCheck {
            group: info.group.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            ..ResourceCheck::default()
        };
        let namespace = namespace.map_or(Cel::Null, |object| Cel::from_json(&shown(object)));
        Activation::new()
            .with("object", Cel::from_json(self.object))
            .with("oldObject", Cel::from_json(self.old))
            .with("request", Cel::from_json(&self.request()))
            .with("namespaceObject", namespace)
            .with("authorizer", Cel::authorizer(decider.clone()))
            .with("authorizer.requestResource", Cel::resource_check(decider, resource))
    }

    fn request(&self) -> Value {
        let Request { attributes, invocation, .. } = self;
        let info = attributes.info;
        let triple = |names: [&str; 3], last: &str| json!({"group": names[0], "version": names[1], last: names[2]});
        let (group, version, kind) = attributes.kind;
        let names = |names: &'_ (String, String, String)| {
            [names.0.clone(), names.1.clone(), names.2.clone()]
        };
        let (kinds, resources) = (names(&invocation.kind), names(&invocation.resource));
        let mut request = json!({
            "kind": triple([&kinds[0], &kinds[1], &kinds[2]], "kind"),
            "resource": triple([&resources[0], &resources[1], &resources[2]], "resource"),
            "requestKind": triple([group, version, kind], "kind"),
            "requestResource": triple([&info.group, &info.version, &info.resource], "resource"),
            "operation": operation_name(attributes.operation),
            "userInfo": user_value(attributes.user),
            "dryRun": attributes.dry_run,
            "options": attributes.options,
            "uid": "",
        });
        let name = if info.name.is_empty() { self.object.name() } else { &info.name };
        for (field, text) in [
            ("subResource", info.subresource.as_str()),
            ("requestSubResource", &info.subresource),
            ("name", name),
            ("namespace", &info.namespace),
        ] {
            if !text.is_empty() {
                request[field] = text.into();
            }
        }
        request
    }
}

/// The parts of a namespace that expressions see.
fn shown(namespace: &Value) -> Value {
    let mut shown = namespace.clone();
    for field in ["managedFields", "ownerReferences", "selfLink"] {
        shown.metadata_mut().remove(field);
    }
    shown
}

/// The namespace of a request that is about something in one.
///
/// # Errors
/// 404 if there is none of that name.
pub(super) fn namespace_of(
    attributes: &AdmissionAttributes<'_>,
    reader: &dyn Reader,
) -> Result<Option<Arc<Value>>, Status> {
    let name = attributes.info.namespace.as_str();
    if name.is_empty() || attributes.kind == ("", "v1", "Namespace") {
        return Ok(None);
    }
    let found = reader.get("", "namespaces", "", name);
    found.map(Some).ok_or_else(|| Status::not_found("", "namespaces", name))
}

/// The object of a delete is null, and so is the old one of a create.
pub(super) fn is_write(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update)
}
