//! Ingresses: which are ours, and the rules, certificates and statuses that come of them
//! (<https://kubernetes.io/docs/concepts/services-networking/ingress/>).

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kd_client::{Key, Object, Resource, View};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use crate::CONTROLLER;
use crate::backends::{NO_BACKEND, PortName, Services};
use crate::certificates::Certificates;
use crate::compile::Write;
use crate::route::{Action, Age, HostPattern, Match, PathMatch, Routes, Rule, Target};

/// The form of `spec.ingressClassName` before it was a field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// The class that is there without anybody's doing.
const CLASS: &str = "kd";
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// `ingresses`.
pub(crate) fn ingresses() -> Resource {
    Resource::of::<Ingress>()
}

/// `ingressclasses`.
pub(crate) fn ingress_classes() -> Resource {
    Resource::of::<IngressClass>()
}

/// The Ingresses of the classes that name this controller.
pub(crate) fn ours(view: &View) -> Vec<&Arc<Object>> {
    let classes = ingress_classes();
    let named = |class: &Arc<Object>| {
        let class: Value = class.decode()?;
        (class["spec"]["controller"] == CONTROLLER)
            .then(|| class["metadata"]["name"].as_str().map(str::to_owned))?
    };
    let classes: BTreeSet<String> = view.objects(&classes, None).filter_map(named).collect();
    let is_ours = |object: &&Arc<Object>| {
        let Some(ingress) = object.decode::<Value>() else { return false };
        let field = ingress["spec"]["ingressClassName"].as_str();
        let annotation = ingress["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
        field.or(annotation).is_some_and(|name| classes.contains(name))
    };
    view.objects(&ingresses(), None).filter(is_ours).collect()
}

/// The class that Ingresses get when they name none, when no class is ours.
pub(crate) fn missing_class(view: &View) -> Option<Write> {
    let resource = ingress_classes();
    let is_known = view.objects(&resource, None).any(|class| {
        let class = class.decode::<Value>().unwrap_or_default();
        class["spec"]["controller"] == CONTROLLER || class["metadata"]["name"] == CLASS
    });
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": CLASS, "annotations": {DEFAULT_ANNOTATION: "true"}},
        "spec": {"controller": CONTROLLER}});
    (!is_known).then(|| Write::create(resource, Key::cluster(CLASS), class))
}

/// Adds the rules and certificates of one Ingress.
pub(crate) fn add(
    object: &Object,
    view: &View,
    services: &mut Services<'_>,
    certificates: &mut Certificates,
    routes: &mut Routes,
    keys: &mut Vec<(HostPattern, Arc<CertifiedKey>)>,
) {
    let Some(ingress) = object.decode::<Value>() else { return };
    let spec = &ingress["spec"];
    let namespace = &object.metadata.namespace;
    let age = |index: usize| -> Age { (object.metadata.creation_timestamp, object.key(), index) };
    let mut index = 0;
    for rule in list(&spec["rules"]) {
        let host = HostPattern::of_ingress(rule["host"].as_str().unwrap_or_default());
        for path in list(&rule["http"]["paths"]) {
            let action = action(namespace, &path["backend"], services);
            let matches = Match::of_path(path_match(path));
            routes.insert(
                host.clone(),
                Rule { matches, is_last_resort: false, age: age(index), action },
            );
            index += 1;
        }
    }
    if spec["defaultBackend"].is_object() {
        let action = action(namespace, &spec["defaultBackend"], services);
        let matches = Match::default();
        routes.insert(
            HostPattern::Any,
            Rule { matches, is_last_resort: true, age: age(index), action },
        );
    }
    for tls in list(&spec["tls"]) {
        let Some(name) = tls["secretName"].as_str() else { continue };
        match certificates.get(view, &Key::new(namespace, name)) {
            Ok(key) => keys.extend(hosts(tls).map(|host| (host, key.clone()))),
            Err(error) => tracing::warn!(ingress = %object.key(), %error, "no certificate"),
        }
    }
}

/// The hosts of an entry of `spec.tls`: all, when it names none.
fn hosts(tls: &Value) -> impl Iterator<Item = HostPattern> {
    let named: Vec<HostPattern> =
        list(&tls["hosts"]).filter_map(Value::as_str).map(HostPattern::of_ingress).collect();
    if named.is_empty() { vec![HostPattern::Any] } else { named }.into_iter()
}

/// What is specific to this implementation is a prefix.
fn path_match(path: &Value) -> PathMatch {
    let text = path["path"].as_str().unwrap_or_default();
    match path["pathType"].as_str() {
        Some("Exact") => PathMatch::Exact(text.to_owned()),
        _ => PathMatch::prefix(text),
    }
}

fn action(namespace: &str, backend: &Value, services: &mut Services<'_>) -> Arc<Action> {
    let service = &backend["service"];
    let number = service["port"]["number"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = match (number, service["port"]["name"].as_str()) {
        (Some(number), _) => Some(PortName::Number(number)),
        (None, name) => name.map(PortName::Name),
    };
    let found = match (service["name"].as_str(), port) {
        (Some(name), Some(port)) => {
            services.backend(&Key::new(namespace, name), port).map_err(|_| NO_BACKEND)
        }
        // Backends that are other objects are nobody's here.
        _ => Err(NO_BACKEND),
    };
    Arc::new(Action { targets: vec![Target::only(found)], ..Action::default() })
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Asked, Port};
    use crate::testing::{ingress_class, object, service, tls_secret, view};
    use http::{HeaderMap, Method};

    fn path(path: &str, kind: &str, service: &str) -> Value {
        json!({"path": path, "pathType": kind,
            "backend": {"service": {"name": service, "port": {"number": 80}}}})
    }

    fn ingress(name: &str, created: &str, spec: Value) -> Value {
        let mut ingress = object("Ingress", "a", name, json!({"spec": spec}));
        ingress["metadata"]["creationTimestamp"] = created.into();
        ingress["spec"]["ingressClassName"] = "kd".into();
        ingress
    }

    /// The port that comes of Ingresses, with Services `one` to `five` at 10.0.0.1 to 5.
    fn port(ingresses: Vec<Value>) -> Port {
        let mut objects = ingresses;
        objects.push(ingress_class("kd", CONTROLLER));
        for (name, last) in ["one", "two", "three", "four", "five"].iter().zip(1..) {
            objects.extend(service("a", name, &format!("10.0.0.{last}")));
        }
        objects.push(tls_secret("a", "cert", &["a.com"]));
        let view = view(&objects);
        let mut services = Services::new(&view);
        let (mut routes, mut keys) = (Routes::default(), Vec::new());
        for ingress in ours(&view) {
            let certificates = &mut Certificates::default();
            add(ingress, &view, &mut services, certificates, &mut routes, &mut keys);
        }
        routes.sort();
        Port { routes: Arc::new(routes), certificates: Some(keys) }
    }

    fn check(port: &Port, host: &str, path: &str, expect: &str) {
        let headers = HeaderMap::new();
        let method = &Method::GET;
        let found = port.routes.find(&Asked { host, path, query: None, method, headers: &headers });
        let shown = match found.map(|rule| &rule.action.targets[0].backend) {
            None => "404".to_owned(),
            Some(Err(status)) => status.as_str().to_owned(),
            Some(Ok(backend)) => backend.endpoints[0].ip().to_string().replace("10.0.0.", ""),
        };
        assert_eq!(shown, expect, "{host}{path}");
    }

    #[test]
    fn hosts_and_paths() {
        let port = port(vec![ingress(
            "i",
            "2026-01-01T00:00:00Z",
            json!({"rules": [
                {"host": "a.com", "http": {"paths": [
                    path("/", "Prefix", "one"), path("/foo", "Prefix", "two"),
                    path("/foo", "Exact", "three"), path("/foo/bar/", "ImplementationSpecific", "four"),
                    path("/gone", "Exact", "none")]}},
                {"host": "*.a.com", "http": {"paths": [path("/", "Prefix", "five")]}},
                {"http": {"paths": [path("/any", "Prefix", "three")]}},
            ]}),
        )]);
        check(&port, "a.com", "/", "1");
        check(&port, "a.com", "/foo", "3");
        check(&port, "a.com", "/foo/", "2");
        check(&port, "a.com", "/foo/x", "2");
        check(&port, "a.com", "/foobar", "1");
        check(&port, "a.com", "/foo/bar", "4");
        check(&port, "a.com", "/foo/bar/x", "4");
        check(&port, "a.com", "/gone", "503");
        check(&port, "x.a.com", "/", "5");
        check(&port, "x.y.a.com", "/", "404");
        check(&port, "b.com", "/any/thing", "3");
        check(&port, "b.com", "/", "404");
        check(&port, "", "/any", "3");
    }

    #[test]
    fn what_no_rule_is_for_goes_to_the_default_backend() {
        let default = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
        let port = port(vec![
            ingress("newer", "2026-01-02T00:00:00Z", json!({"defaultBackend": default("one")})),
            ingress(
                "older",
                "2026-01-01T00:00:00Z",
                json!({"defaultBackend": default("two"),
                "rules": [{"host": "a.com", "http": {"paths": [path("/x", "Exact", "three")]}},
                    {"host": "b.com"}]}),
            ),
        ]);
        check(&port, "a.com", "/x", "3");
        check(&port, "a.com", "/y", "2");
        check(&port, "b.com", "/", "2");
    }

    #[test]
    fn the_older_of_two_rules_counts() {
        let rule = |service: &str| {
            json!({"rules": [{"host": "a.com",
            "http": {"paths": [path("/", "Prefix", service)]}}]})
        };
        let port = port(vec![
            ingress("a", "2026-01-02T00:00:00Z", rule("one")),
            ingress("b", "2026-01-01T00:00:00Z", rule("two")),
        ]);
        check(&port, "a.com", "/", "2");
    }

    #[test]
    fn classes() {
        let spec = json!({"defaultBackend": {"service": {"name": "one", "port": {"name": "web"}}}});
        let served = |change: &dyn Fn(&mut Value)| {
            let mut ingress = ingress("i", "2026-01-01T00:00:00Z", spec.clone());
            change(&mut ingress);
            let port = port(vec![ingress, ingress_class("other", "example.com/other")]);
            let asked = Asked {
                host: "",
                path: "/",
                query: None,
                method: &Method::GET,
                headers: &HeaderMap::new(),
            };
            port.routes.find(&asked).is_some()
        };
        assert!(served(&|_| ()));
        assert!(!served(&|ingress| ingress["spec"]["ingressClassName"] = "other".into()));
        assert!(!served(&|ingress| ingress["spec"]["ingressClassName"] = Value::Null));
        assert!(served(&|ingress| {
            ingress["spec"]["ingressClassName"] = Value::Null;
            ingress["metadata"]["annotations"] = json!({CLASS_ANNOTATION: "kd"});
        }));
    }

    #[test]
    fn certificates_by_name() {
        let spec = json!({"tls": [{"hosts": ["a.com", "*.b.com"], "secretName": "cert"},
            {"hosts": ["c.com"], "secretName": "none"}, {"hosts": ["d.com"]}]});
        let port = port(vec![ingress("i", "2026-01-01T00:00:00Z", spec)]);
        for (host, expect) in
            [("a.com", true), ("x.b.com", true), ("b.com", false), ("c.com", false)]
        {
            assert_eq!(port.certificate(host).is_some(), expect, "{host}");
        }
    }
}
