//! What fields the built-in types have: one compact arena of types, made from the table of fields
//! when first asked. It drives strict decoding, pruning, strategic merge, apply and OpenAPI.

mod arena;
mod expanded;
mod fields;
mod kind;
mod reference;

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;
use sha2::{Digest, Sha256};

use crate::Kind;

pub(crate) use arena::{Extra, Field, Form, Node, NodeId, Scalar, Struct, Wire};
pub use arena::{ListType, Schema};
pub use expanded::expanded;
pub use kind::KindSchema;
pub use reference::SchemaRef;

static FIELDS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fields.zz"));
static TEXTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts.zz"));

/// The types of the built-in kinds.
pub fn built_in() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| fields::parse(&inflate(FIELDS)))
}

/// The schema of a kind's objects.
pub fn for_kind(kind: &Kind) -> Option<KindSchema<'_>> {
    match &kind.custom {
        Some(custom) => Some(KindSchema::custom(&custom.schema)),
        None => of(&kind.group, &kind.version, &kind.kind).map(KindSchema::BuiltIn),
    }
}

/// The schema of a built-in type by group, version and kind; those of `meta/v1` (DeleteOptions,
/// Status) belong to every group.
pub fn of(group: &str, version: &str, kind: &str) -> Option<SchemaRef<'static>> {
    let own = type_name(group, version, kind);
    built_in().by_name(&own).or_else(|| built_in().by_name(&format!("{META}.{kind}")))
}

/// Whether a group and version has a type of this name.
pub(crate) fn is_registered(group: &str, version: &str, kind: &str) -> bool {
    built_in().by_name(&type_name(group, version, kind)).is_some()
}

/// The schema of any JSON.
pub(crate) fn any() -> SchemaRef<'static> {
    static ANY: OnceLock<Schema> = OnceLock::new();
    SchemaRef::new(ANY.get_or_init(Schema::any), NodeId::FIRST)
}

/// The documentation of all types, as JSON: type, then property ("" for the type itself), then text.
pub(crate) fn texts() -> String {
    inflate(TEXTS)
}

/// What the schemas and texts are made of; changes with the build only.
pub(crate) fn fingerprint() -> impl AsRef<[u8]> {
    static FINGERPRINT: OnceLock<[u8; 32]> = OnceLock::new();
    FINGERPRINT
        .get_or_init(|| Sha256::new().chain_update(FIELDS).chain_update(TEXTS).finalize().into())
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The name under which OpenAPI shows a built-in type.
pub(crate) fn type_name(group: &str, version: &str, kind: &str) -> String {
    let package = group.split('.').next().unwrap_or("");
    qualified(&format!("{}.{version}.{kind}", if package.is_empty() { "core" } else { package }))
}

/// The full name of a type that the table of fields writes as `<package>.<version>.<type>`.
fn qualified(short: &str) -> String {
    match short.split('.').next() {
        Some("meta") => format!("io.k8s.apimachinery.pkg.apis.{short}"),
        Some("apiextensions") => format!("io.k8s.apiextensions-apiserver.pkg.apis.{short}"),
        Some("apiregistration") => format!("io.k8s.kube-aggregator.pkg.apis.{short}"),
        _ => format!("io.k8s.api.{short}"),
    }
}

/// The text of a blob that the build made; it cannot be broken.
fn inflate(blob: &[u8]) -> String {
    let mut text = String::new();
    ZlibDecoder::new(blob).read_to_string(&mut text).expect("a blob made by the build");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;

    #[test]
    fn every_kind_has_a_schema() {
        for kind in Kinds::known().iter() {
            assert!(for_kind(kind).is_some(), "{} {}", kind.api_version(), kind.kind);
            for sub in &kind.subresources {
                let (group, version, body) = &sub.body;
                assert!(of(group, version, body).is_some(), "{}/{}", kind.plural, sub.name);
            }
        }
    }

    #[test]
    fn texts_belong_to_known_types() {
        let texts: serde_json::Value = serde_json::from_str(&texts()).unwrap();
        let pod = &texts["io.k8s.api.core.v1.PodSpec"];
        assert!(pod["containers"].as_str().unwrap().starts_with("List of containers"));
        for structure in built_in().structs() {
            let Some(texts) = texts[structure.name.as_ref()].as_object() else { continue };
            for property in texts.keys().filter(|key| !key.is_empty()) {
                assert!(structure.field(property).is_some(), "{} {property}", structure.name);
            }
        }
    }

    #[test]
    fn merge_keys() {
        let pod = of("", "v1", "Pod").unwrap();
        let spec = pod.property("spec").unwrap();
        let containers = spec.property("containers").unwrap();
        assert_eq!(containers.patch_merge_key(), Some("name"));
        assert_eq!(containers.patch_strategy(), Some("merge"));
        assert_eq!(containers.list_type(), Some("map"));
        let ports = containers.items().unwrap().property("ports").unwrap();
        assert_eq!(ports.list_map_keys(), ["containerPort", "protocol"]);
        assert_eq!(ports.patch_merge_key(), Some("containerPort"));
        let protocol = ports.items().unwrap().property("protocol").unwrap();
        assert_eq!(protocol.default_value(), Some("TCP".into()));
        assert_eq!(spec.property("nodeSelector").unwrap().map_type(), Some("atomic"));
        assert!(spec.property("nodeSelector").unwrap().values().is_some());
        let volumes = spec.property("volumes").unwrap();
        assert_eq!(volumes.patch_strategy(), Some("merge,retainKeys"));
        assert!(volumes.items().unwrap().property("emptyDir").is_some(), "inlined");
        let field_ref = of("", "v1", "EnvVarSource").unwrap().property("fieldRef").unwrap();
        assert_eq!(field_ref.map_type(), Some("atomic"), "of the type");
        assert!(of("", "v1", "NoSuch").is_none());
    }
}
