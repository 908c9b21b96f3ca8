//! OpenAPI documents of the kinds that are served, made on demand: version 3 per group and version
//! with its index, and version 2; both as JSON and as gnostic's protobuf. Written piece by piece, because as
//! one tree of values they would take tens of megabytes.

mod definitions;
mod gnostic;
mod gnostic_v3;
mod metrics;
mod operations;
mod parameters;
mod render;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Kind, Kinds};
use definitions::Definitions;
use operations::Route;

/// The media type of [`v2_protobuf`], which old clients ask for.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Which of the two versions of OpenAPI a schema is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// What precedes a type's name in a reference.
    fn reference_prefix(self) -> &'static str {
        match self {
            Dialect::V2 => "#/definitions/",
            Dialect::V3 => "#/components/schemas/",
        }
    }
}

/// `/openapi/v3`: where the document of each group and version is, by content.
pub fn v3_index(kinds: &Kinds) -> Value {
    let mut paths = Map::new();
    for group in kinds.groups() {
        for version in &group.versions {
            let path = root_path(&group.name, version);
            let path = path.trim_start_matches('/');
            let hash = v3_hash(kinds, &group.name, version);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path.to_owned(), json!({ "serverRelativeURL": url }));
        }
    }
    json!({ "paths": paths })
}

/// What changes exactly when the document of a group and version changes: its ETag and the `hash` of
/// its URL.
pub fn v3_hash(kinds: &Kinds, group: &str, version: &str) -> String {
    hash_of("v3", kinds.kinds_of(group, version).map(|kind| kind.as_ref()))
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/<group>/<version>`; `None` when nothing is served there.
pub fn v3(kinds: &Kinds, group: &str, version: &str) -> Option<Bytes> {
    let rows: Vec<&Kind> = kinds.kinds_of(group, version).map(|kind| kind.as_ref()).collect();
    if rows.is_empty() {
        return None;
    }
    let definitions = Definitions::new(kinds, Dialect::V3);
    let routes = operations::routes(&rows);
    let names = definitions.reachable(roots(&rows, &routes));
    let mut out = Writer::new();
    out.entry("openapi", &"3.0.0".into());
    out.entry("info", &info());
    out.open("paths");
    for route in &routes {
        out.entry(&route.path, &render::v3(route));
    }
    out.close();
    out.open("components");
    out.open("schemas");
    for name in &names {
        out.entry(name, &definitions.render(name));
    }
    out.close();
    out.entry("securitySchemes", &security_scheme());
    out.close();
    Some(out.finish())
}

/// The same document as gnostic's `openapi.v3.Document`.
pub fn v3_protobuf(kinds: &Kinds, group: &str, version: &str) -> Option<Bytes> {
    let rows: Vec<&Kind> = kinds.kinds_of(group, version).map(|kind| kind.as_ref()).collect();
    if rows.is_empty() {
        return None;
    }
    let definitions = Definitions::new(kinds, Dialect::V3);
    let routes = operations::routes(&rows);
    let names = definitions.reachable(roots(&rows, &routes));
    let paths = routes.iter().map(|route| (route.path.as_str(), render::v3(route)));
    let schemas = names.iter().map(|name| (name.as_str(), definitions.render(name)));
    Some(gnostic_v3::document(&info(), paths, schemas, &security_scheme()).into())
}

/// What changes exactly when the version 2 document changes: its ETag.
pub fn v2_hash(kinds: &Kinds) -> String {
    hash_of("v2", kinds.iter().map(|kind| kind.as_ref()))
}

/// What other servers add to the version 2 document: paths and definitions by name. What is known
/// here already is not added.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// By path, with its leading slash.
    pub paths: Map<String, Value>,
    /// By name, without what precedes it in references.
    pub definitions: Map<String, Value>,
}

impl Foreign {
    /// What is not among these paths and names.
    fn besides<'a>(
        &'a self,
        routes: &'a [Route],
        names: &'a [String],
    ) -> (
        impl Iterator<Item = (&'a String, &'a Value)>,
        impl Iterator<Item = (&'a String, &'a Value)>,
    ) {
        let known = |path: &str| routes.iter().any(|route| route.path == path);
        let paths = self.paths.iter().filter(move |(path, _)| !known(path));
        let definitions = self.definitions.iter().filter(move |(name, _)| !names.contains(name));
        (paths, definitions)
    }
}

/// `/openapi/v2` as JSON.
pub fn v2_json(kinds: &Kinds, foreign: &Foreign) -> Bytes {
    let definitions = Definitions::new(kinds, Dialect::V2);
    let (routes, names) = v2_parts(kinds, &definitions);
    let (more_paths, more_definitions) = foreign.besides(&routes, &names);
    let mut out = Writer::new();
    out.entry("swagger", &"2.0".into());
    out.entry("info", &info());
    out.open("paths");
    for route in &routes {
        out.entry(&route.path, &render::v2(route));
    }
    more_paths.for_each(|(path, item)| out.entry(path, item));
    out.close();
    out.open("definitions");
    for name in &names {
        out.entry(name, &definitions.render(name));
    }
    more_definitions.for_each(|(name, item)| out.entry(name, item));
    out.close();
    out.entry("securityDefinitions", &security_scheme());
    out.entry("security", &json!([{"BearerToken": []}]));
    out.finish()
}

/// `/openapi/v2` as gnostic's `openapi.v2.Document`.
pub fn v2_protobuf(kinds: &Kinds, foreign: &Foreign) -> Bytes {
    let definitions = Definitions::new(kinds, Dialect::V2);
    let (routes, names) = v2_parts(kinds, &definitions);
    let (more_paths, more_definitions) = foreign.besides(&routes, &names);
    let paths = routes.iter().map(|route| (route.path.as_str(), render::v2(route)));
    let paths = paths.chain(more_paths.map(|(path, item)| (path.as_str(), item.clone())));
    let schemas = names.iter().map(|name| (name.as_str(), definitions.render(name)));
    let schemas = schemas.chain(more_definitions.map(|(name, item)| (name.as_str(), item.clone())));
    gnostic::document(&info(), paths, schemas, &security_scheme()).into()
}

fn v2_parts(kinds: &Kinds, definitions: &Definitions) -> (Vec<Route>, Vec<String>) {
    let rows: Vec<&Kind> = kinds.iter().map(|kind| kind.as_ref()).collect();
    let routes = operations::routes(&rows);
    let names = definitions.reachable(roots(&rows, &routes));
    (routes, names)
}

/// The types that the operations name, and the kinds themselves.
fn roots(rows: &[&Kind], routes: &[Route]) -> Vec<String> {
    let own = rows.iter().map(|kind| definitions::name_of(&kind.group, &kind.version, &kind.kind));
    own.chain(routes.iter().flat_map(Route::types)).collect()
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.36"})
}

fn security_scheme() -> Value {
    json!({"BearerToken": {
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "Bearer Token authentication",
    }})
}

fn root_path(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}

/// A document is a function of the rows and of what the build put in.
fn hash_of<'k>(form: &str, rows: impl Iterator<Item = &'k Kind>) -> String {
    let mut digest = Sha256::new();
    digest.update(form);
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(crate::schema::fingerprint());
    for row in rows {
        digest.update(format!("{row:?}"));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Writes a JSON object entry by entry.
struct Writer {
    out: Vec<u8>,
    /// Whether the object being written has an entry already; one per level.
    started: Vec<bool>,
}

impl Writer {
    fn new() -> Writer {
        Writer { out: b"{".to_vec(), started: vec![false] }
    }

    fn entry(&mut self, key: &str, value: &Value) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn open(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'{');
        self.started.push(false);
    }

    fn close(&mut self) {
        self.out.push(b'}');
        self.started.pop();
    }

    fn finish(mut self) -> Bytes {
        self.out.push(b'}');
        self.out.into()
    }

    fn key(&mut self, key: &str) {
        if let Some(started) = self.started.last_mut()
            && std::mem::replace(started, true)
        {
            self.out.push(b',');
        }
        self.out.extend_from_slice(Value::from(key).to_string().as_bytes());
        self.out.push(b':');
    }
}

#[cfg(test)]
mod tests;
