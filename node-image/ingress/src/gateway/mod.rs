//! The Gateway API: Gateways of our classes, their listeners, and the routes attached to them
//! (<https://gateway-api.sigs.k8s.io/reference/spec/>). Its kinds are there when the user has installed
//! their definitions.

mod condition;
mod filter;
mod gateways;
mod grant;
mod listener;
mod port;
mod route;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use kd_client::{Interest, Key, Resource, View};
use serde_json::{Value, json};

use crate::CONTROLLER;
use crate::backends::Services;
use crate::certificates::Certificates;
use crate::compile::Write;
use condition::{Condition, conditions};
use gateways::Gateway;

pub(crate) use port::Ports;

/// The group, and the end of its definitions' names.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";
const DEFINITIONS: &str = "apiextensions.k8s.io";
/// The class that is there without anybody's doing, when classes are.
const CLASS: &str = "kd";

/// What Gateways are made of.
pub(crate) struct World<'a> {
    pub view: &'a View,
    pub services: Services<'a>,
    pub certificates: &'a mut Certificates,
    /// The addresses of the nodes that serve.
    pub addresses: &'a [String],
    /// Ports that cannot be opened.
    pub refused: &'a BTreeSet<u16>,
    pub now: Timestamp,
}

fn resource(
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        group: GROUP.into(),
        version: version.into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced,
    }
}

/// `gatewayclasses`.
pub(crate) fn gateway_classes() -> Resource {
    resource("v1", "gatewayclasses", "GatewayClass", false)
}

/// `gateways`.
pub(crate) fn gateways() -> Resource {
    resource("v1", "gateways", "Gateway", true)
}

/// `httproutes`.
pub(crate) fn http_routes() -> Resource {
    resource("v1", "httproutes", "HTTPRoute", true)
}

/// `grpcroutes`.
pub(crate) fn grpc_routes() -> Resource {
    resource("v1", "grpcroutes", "GRPCRoute", true)
}

/// `referencegrants`.
pub(crate) fn reference_grants() -> Resource {
    resource("v1beta1", "referencegrants", "ReferenceGrant", true)
}

/// All kinds.
pub(crate) fn kinds() -> [Resource; 5] {
    [gateway_classes(), gateways(), http_routes(), grpc_routes(), reference_grants()]
}

/// A kind of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteKind {
    Http,
    Grpc,
}

impl RouteKind {
    const ALL: [RouteKind; 2] = [RouteKind::Http, RouteKind::Grpc];

    fn name(self) -> &'static str {
        match self {
            RouteKind::Http => "HTTPRoute",
            RouteKind::Grpc => "GRPCRoute",
        }
    }

    fn resource(self) -> Resource {
        match self {
            RouteKind::Http => http_routes(),
            RouteKind::Grpc => grpc_routes(),
        }
    }
}

/// The kinds that are served now: those whose definition is established and has the version.
pub(crate) fn interests(view: &View) -> Vec<Interest> {
    let definitions = Resource {
        group: DEFINITIONS.into(),
        version: "v1".into(),
        plural: "customresourcedefinitions".into(),
        kind: "CustomResourceDefinition".into(),
        namespaced: false,
    };
    let is_served = |kind: &Resource| {
        let name = format!("{}.{GROUP}", kind.plural);
        let definition = view.object(&definitions, &Key::cluster(&name));
        let definition = definition.and_then(|definition| definition.decode::<Value>());
        definition.is_some_and(|definition| serves(&definition, &kind.version))
    };
    kinds().iter().filter(|kind| is_served(kind)).map(Interest::full).collect()
}

fn serves(definition: &Value, version: &str) -> bool {
    let mut versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    versions.any(|v| v["name"] == version && v["served"] == true)
        && conditions.any(|c| c["type"] == "Established" && c["status"] == "True")
}

/// Adds what Gateways serve, and tells what to write.
pub(crate) fn add(world: &mut World<'_>, ports: &mut Ports) -> Vec<Write> {
    let mut writes = classes(world);
    let mut gateways = gateways::ours(world, ports);
    let routes = route::attach(world, &mut gateways, ports);
    writes.extend(gateways.iter().filter_map(|gateway| Gateway::status(gateway, world)));
    writes.extend(routes);
    writes
}

/// Names of the classes that are ours.
fn our_classes(view: &View) -> BTreeSet<String> {
    let classes = gateway_classes();
    let all = view.objects(&classes, None).filter_map(|class| class.decode::<Value>());
    let ours = all.filter(|class| class["spec"]["controllerName"] == CONTROLLER);
    ours.filter_map(|class| class["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Accepts our classes, and makes one when there is none.
fn classes(world: &World<'_>) -> Vec<Write> {
    let resource = gateway_classes();
    if !world.view.is_synced(&resource) {
        return Vec::new();
    }
    let ours = our_classes(world.view);
    if ours.is_empty() && world.view.object(&resource, &Key::cluster(CLASS)).is_none() {
        let class = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "GatewayClass",
            "metadata": {"name": CLASS}, "spec": {"controllerName": CONTROLLER}});
        return vec![Write::create(resource, Key::cluster(CLASS), class)];
    }
    let accept = |name: &String| {
        let object = world.view.object(&resource, &Key::cluster(name))?;
        let class: Value = object.decode()?;
        let condition = match class["spec"]["parametersRef"].is_object() {
            false => Condition::yes("Accepted", "Accepted", "the class is served"),
            true => Condition::no("Accepted", "InvalidParameters", "classes take no parameters"),
        };
        let before = &class["status"]["conditions"];
        let wanted = conditions(before, &[condition], object.metadata.generation, world.now);
        (wanted != *before).then(|| {
            let status = json!({"conditions": wanted});
            Write::status(resource.clone(), object, status)
        })
    };
    ours.iter().filter_map(accept).collect()
}
