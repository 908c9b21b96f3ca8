//! Which requests the kinds answer: a table of paths and operations, made from their rows.

use super::definitions::{self, PATCH};
use super::parameters::{self, Parameter};
use super::root_path;
use crate::kind::is_built_in_group;
use crate::schema::{self, Form, Scalar};
use crate::{Kind, Subresource};

/// One path.
pub(super) struct Route {
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) operations: Vec<Operation>,
}

/// One method of a path.
pub(super) struct Operation {
    /// `get`, `put`, ...
    pub(super) method: &'static str,
    /// `x-kubernetes-action`
    pub(super) action: &'static str,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) tag: String,
    pub(super) parameters: Vec<Parameter>,
    /// The type of the body.
    pub(super) body: Option<String>,
    /// The type of the answer; `None` for text.
    pub(super) answer: Option<String>,
    /// The codes of success.
    pub(super) codes: &'static [(&'static str, &'static str)],
    /// Group, version, kind.
    pub(super) gvk: (String, String, String),
}

impl Route {
    /// The types that bodies and answers have.
    pub(super) fn types(&self) -> impl Iterator<Item = String> {
        self.operations.iter().flat_map(|op| op.body.iter().chain(&op.answer)).cloned()
    }
}

impl Operation {
    /// The media types of the body, if it is a patch.
    pub(super) fn patch_types(&self) -> Option<&'static [&'static str]> {
        let is_patch = self.body.as_deref() == Some(PATCH);
        is_patch.then_some(match is_built_in_group(&self.gvk.0) {
            true => &PATCH_TYPES[..],
            false => &CUSTOM_PATCH_TYPES,
        })
    }
}

/// The media types of patches.
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Those of custom resources, which no strategic merge knows.
const CUSTOM_PATCH_TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

type Codes = &'static [(&'static str, &'static str)];
const OK: Codes = &[("200", "OK")];
const WRITTEN: Codes = &[("200", "OK"), ("201", "Created")];
const CREATED: Codes = &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const DELETED: Codes = &[("200", "OK"), ("202", "Accepted")];

/// The paths of some kinds, ordered.
pub(super) fn routes(kinds: &[&Kind]) -> Vec<Route> {
    let mut routes: Vec<Route> = kinds.iter().flat_map(|kind| of_kind(kind)).collect();
    routes.sort_by(|a, b| a.path.cmp(&b.path));
    routes
}

fn of_kind(kind: &Kind) -> Vec<Route> {
    let names = Names { kind };
    let collection = names.collection_path();
    let object = format!("{collection}/{{name}}");
    let mut routes = vec![
        route(collection, names.place(false), names.collection_operations()),
        route(object.clone(), names.place(true), names.object_operations()),
    ];
    if kind.namespaced() && kind.has_verb("list") {
        let path = format!("{}/{}", root_path(&kind.group, &kind.version), kind.plural);
        routes.push(route(path, vec![], vec![names.list(true)]));
    }
    for sub in &kind.subresources {
        let path = format!("{object}/{}", sub.name);
        routes.push(route(path, names.place(true), names.sub_operations(sub)));
    }
    routes.retain(|route| !route.operations.is_empty());
    routes
}

fn route(path: String, mut parameters: Vec<Parameter>, operations: Vec<Operation>) -> Route {
    parameters.push(Parameter::query("pretty", "string", "Whether to indent the answer."));
    Route { path, parameters, operations }
}

type Make<'k> = fn(&Names<'k>) -> Operation;

/// How a kind's operations are called.
struct Names<'k> {
    kind: &'k Kind,
}

impl<'k> Names<'k> {
    fn collection_path(&self) -> String {
        let root = root_path(&self.kind.group, &self.kind.version);
        match self.kind.namespaced() {
            true => format!("{root}/namespaces/{{namespace}}/{}", self.kind.plural),
            false => format!("{root}/{}", self.kind.plural),
        }
    }

    fn place(&self, named: bool) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        if named {
            parameters.push(Parameter::path("name", &format!("name of the {}", self.kind.kind)));
        }
        if self.kind.namespaced() {
            let text = "object name and auth scope, such as for teams and projects";
            parameters.push(Parameter::path("namespace", text));
        }
        parameters
    }

    /// `CoreV1`, `RbacAuthorizationV1`.
    fn group_version(&self) -> String {
        self.group_words().map(capitalized).collect::<String>() + &capitalized(&self.kind.version)
    }

    /// `core_v1`, `rbacAuthorization_v1`.
    fn tag(&self) -> String {
        let mut words = self.group_words();
        let first = words.next().unwrap_or_default().to_owned();
        let rest: String = words.map(capitalized).collect();
        format!("{first}{rest}_{}", self.kind.version)
    }

    fn group_words(&self) -> impl Iterator<Item = &str> {
        let group = if self.kind.group.is_empty() { "core" } else { &self.kind.group };
        group.trim_end_matches(".k8s.io").split('.')
    }

    /// `NamespacedPod`, `Node`.
    fn subject(&self) -> String {
        let scope = if self.kind.namespaced() { "Namespaced" } else { "" };
        format!("{scope}{}", self.kind.kind)
    }

    fn type_name(&self, kind: &str) -> String {
        definitions::name_of(&self.kind.group, &self.kind.version, kind)
    }

    fn operation(&self, method: &'static str, action: &'static str, verb: &str) -> Operation {
        let own = self.type_name(&self.kind.kind);
        Operation {
            method,
            action,
            id: format!("{verb}{}{}", self.group_version(), self.subject()),
            text: format!("{verb} {} {}", article(&self.kind.kind), self.kind.kind),
            tag: self.tag(),
            parameters: Vec::new(),
            body: None,
            answer: Some(own),
            codes: OK,
            gvk: (self.kind.group.clone(), self.kind.version.clone(), self.kind.kind.clone()),
        }
    }

    fn collection_operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        if self.kind.has_verb("list") {
            operations.push(self.list(false));
        }
        if self.kind.has_verb("create") {
            operations.push(self.create());
        }
        if self.kind.has_verb("deletecollection") {
            operations.push(self.delete_collection());
        }
        operations
    }

    fn object_operations(&self) -> Vec<Operation> {
        let own = [("get", self.get()), ("update", self.put()), ("patch", self.patch())];
        let own = own.into_iter().filter(|(verb, _)| self.kind.has_verb(verb));
        let mut operations: Vec<Operation> = own.map(|(_, operation)| operation).collect();
        if self.kind.has_verb("delete") {
            operations.push(self.delete());
        }
        operations
    }

    fn list(&self, all_namespaces: bool) -> Operation {
        let mut operation = self.operation("get", "list", "list");
        if all_namespaces {
            let prefix = self.group_version();
            operation.id = format!("list{prefix}{}ForAllNamespaces", self.kind.kind);
        }
        operation.text = format!("list or watch objects of kind {}", self.kind.kind);
        operation.parameters = parameters::queries(parameters::LIST);
        operation.answer = Some(self.type_name(&self.kind.list_kind));
        operation
    }

    fn create(&self) -> Operation {
        let mut operation = self.operation("post", "post", "create");
        operation.parameters = parameters::queries(parameters::WRITE);
        operation.body = operation.answer.clone();
        operation.codes = CREATED;
        operation
    }

    fn get(&self) -> Operation {
        Operation {
            text: format!("read the specified {}", self.kind.kind),
            ..self.operation("get", "get", "read")
        }
    }

    fn put(&self) -> Operation {
        let mut operation = self.operation("put", "put", "replace");
        operation.text = format!("replace the specified {}", self.kind.kind);
        operation.parameters = parameters::queries(parameters::WRITE);
        operation.body = operation.answer.clone();
        operation.codes = WRITTEN;
        operation
    }

    fn patch(&self) -> Operation {
        let mut operation = self.operation("patch", "patch", "patch");
        operation.text = format!("partially update the specified {}", self.kind.kind);
        operation.parameters = parameters::queries(parameters::PATCH);
        operation.body = Some(PATCH.to_owned());
        operation.codes = WRITTEN;
        operation
    }

    fn delete(&self) -> Operation {
        let mut operation = self.operation("delete", "delete", "delete");
        operation.parameters = parameters::queries(parameters::DELETE);
        operation.body = Some(definitions::name_of("", "v1", "DeleteOptions"));
        operation.answer = Some(definitions::name_of("", "v1", "Status"));
        operation.codes = DELETED;
        operation
    }

    fn delete_collection(&self) -> Operation {
        let mut operation = self.delete();
        operation.action = "deletecollection";
        operation.id = format!("delete{}Collection{}", self.group_version(), self.subject());
        operation.text = format!("delete collection of {}", self.kind.kind);
        operation.parameters.extend(parameters::queries(parameters::LIST));
        operation.codes = OK;
        operation
    }

    fn sub_operations(&self, sub: &Subresource) -> Vec<Operation> {
        if sub.body.2.ends_with("Options") {
            return self.connect_operations(sub);
        }
        let verbs: [(&str, Make<'k>); 4] = [
            ("get", Self::get),
            ("update", Self::put),
            ("patch", Self::patch),
            ("create", Self::create),
        ];
        let verbs = verbs.iter().filter(|(verb, _)| sub.has_verb(verb));
        verbs.map(|(_, make)| self.sub_operation(make(self), sub)).collect()
    }

    /// An operation of the kind, on one of its subresources.
    fn sub_operation(&self, mut operation: Operation, sub: &Subresource) -> Operation {
        let (group, version, kind) = &sub.body;
        let body = definitions::name_of(group, version, kind);
        let own = operation.answer.take();
        if operation.body == own {
            operation.body = Some(body.clone());
        }
        // The log is text.
        operation.answer = (sub.name != "log").then_some(body);
        operation.id.push_str(&capitalized(&sub.name));
        operation.text = format!("{} ({} of {})", operation.text, sub.name, self.kind.kind);
        if sub.name == "log" {
            operation.parameters = options_of(group, version, "PodLogOptions");
        }
        operation.gvk = sub.body.clone();
        operation
    }

    fn connect_operations(&self, sub: &Subresource) -> Vec<Operation> {
        let (group, version, kind) = &sub.body;
        let methods = [
            ("get", "get"),
            ("update", "put"),
            ("create", "post"),
            ("delete", "delete"),
            ("patch", "patch"),
        ];
        let methods = methods.iter().filter(|(verb, _)| sub.has_verb(verb));
        let make = |(_, method): &(&str, &'static str)| {
            let mut operation = self.operation(method, "connect", "connect");
            let (prefix, method) = (self.group_version(), capitalized(method));
            let sub_name = capitalized(&sub.name);
            operation.id = format!("connect{prefix}{method}{}{sub_name}", self.subject());
            operation.text = format!("connect to the {} of {}", sub.name, self.kind.kind);
            operation.parameters = options_of(group, version, kind);
            operation.answer = None;
            // Not the object's kind: clients learn from its operations what a PATCH of it can do.
            operation.gvk = sub.body.clone();
            operation
        };
        methods.map(make).collect()
    }
}

/// The fields of an options type, as query parameters.
fn options_of(group: &str, version: &str, kind: &str) -> Vec<Parameter> {
    let Some(place) = schema::of(group, version, kind) else { return Vec::new() };
    let arena = place.schema();
    let Form::Struct(index) = arena.node(place.node_id()).form else { return Vec::new() };
    let fields = arena.structure(index).fields.iter();
    let fields = fields.filter(|field| !matches!(&*field.name, "apiVersion" | "kind"));
    let parameter = |field: &schema::Field| {
        let type_name = match arena.node(field.node).form {
            Form::Scalar(Scalar::Bool) => "boolean",
            Form::Scalar(Scalar::Int32 | Scalar::Int64) => "integer",
            _ => "string",
        };
        Parameter::query(&field.name, type_name, "")
    };
    fields.map(parameter).collect()
}

fn article(word: &str) -> &'static str {
    match word.chars().next() {
        Some('A' | 'E' | 'I' | 'O' | 'U') => "an",
        _ => "a",
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
