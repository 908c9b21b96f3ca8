//! Gateways and routes: what is served, and what their statuses say.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::compile::{Compiled, WriteKind, compile};
use crate::route::Asked;
use crate::testing::{object, service, tls_secret, view};

fn gateway(listeners: Value) -> Value {
    object("Gateway", "a", "g", json!({"spec": {"gatewayClassName": "kd", "listeners": listeners}}))
}

fn http(more: Value) -> Value {
    let mut listener = json!({"name": "web", "port": 80, "protocol": "HTTP"});
    listener.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    listener
}

fn route(namespace: &str, spec: Value) -> Value {
    let parent = json!([{"name": "g", "namespace": "a"}]);
    let mut route = object("HTTPRoute", namespace, "r", json!({"spec": {"parentRefs": parent}}));
    route["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    route
}

fn to(service: &str) -> Value {
    json!([{"name": service, "port": 80}])
}

fn compiled(objects: &[Value], refused: &[u16]) -> Compiled {
    let mut all = objects.to_vec();
    all.push(object("GatewayClass", "", "kd", json!({"spec": {"controllerName": CONTROLLER}})));
    let address = json!([{"type": "InternalIP", "address": "172.18.0.2"}]);
    all.push(object("Node", "", "n", json!({"status": {"addresses": address}})));
    all.push(object("Namespace", "", "b", json!({"metadata": {"labels": {"team": "x"}}})));
    for (name, last) in ["one", "two", "three"].iter().zip(1..) {
        all.extend(service("a", name, &format!("10.0.0.{last}")));
    }
    let refused: BTreeSet<u16> = refused.iter().copied().collect();
    let now = Timestamp::UNIX_EPOCH;
    compile(&view(&all), &mut Certificates::default(), &BTreeSet::new(), &refused, now)
}

/// The conditions that are written about an object: `Type=Status/Reason`.
fn said(compiled: &Compiled, kind: &str, path: &str) -> Vec<String> {
    let write = compiled.writes.iter().find(|write| write.resource.kind == kind).expect(kind);
    let WriteKind::Status(patch) = &write.change else { panic!("{write:?}") };
    let conditions = patch["status"].pointer(path).unwrap_or_else(|| panic!("{patch}"));
    let text = |c: &Value| {
        let part = |name: &str| c[name].as_str().unwrap().to_owned();
        format!("{}={}/{}", part("type"), part("status"), part("reason"))
    };
    conditions.as_array().unwrap().iter().map(text).collect()
}

fn of_route(objects: &[Value]) -> Vec<String> {
    said(&compiled(objects, &[]), "HTTPRoute", "/parents/0/conditions")
}

fn asks(compiled: &Compiled, port: u16, line: &str, headers: &[(&str, &str)]) -> String {
    let (method, url) = line.split_once(' ').unwrap();
    let (host, rest) = url.split_once('/').unwrap();
    let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let (path, method) = (format!("/{path}"), Method::from_bytes(method.as_bytes()).unwrap());
    let asked = Asked { host, path: &path, query, method: &method, headers: &map };
    let found = compiled.table.ports.get(&port).and_then(|port| port.routes.find(&asked));
    match found.map(|rule| &rule.action.targets[..]) {
        None => "404".to_owned(),
        Some([]) => "none".to_owned(),
        Some([target, ..]) => match &target.backend {
            Err(status) => status.as_str().to_owned(),
            Ok(backend) => backend.endpoints[0].ip().to_string().replace("10.0.0.", ""),
        },
    }
}

#[test]
fn routes_are_served_by_precedence() {
    let rules = json!({"hostnames": ["a.com", "*.b.com"], "rules": [
        {"backendRefs": to("one")},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}},
            {"headers": [{"name": "Version", "value": "two"}]}], "backendRefs": to("two")},
        {"matches": [{"path": {"type": "Exact", "value": "/v2/exact"}, "method": "POST"}],
            "backendRefs": to("three")},
        {"matches": [{"path": {"value": "/q"}, "queryParams": [{"name": "x", "value": "1"}]}],
            "backendRefs": to("three")},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/re/[0-9]+"}}],
            "backendRefs": to("three")},
        {"matches": [{"path": {"value": "/gone"}}], "backendRefs": to("nobody")}]});
    let all = compiled(&[gateway(json!([http(json!({}))])), route("a", rules)], &[]);
    let check = |line: &str, headers: &[(&str, &str)], expect: &str| {
        assert_eq!(asks(&all, 80, line, headers), expect, "{line} {headers:?}");
    };
    check("GET a.com/", &[], "1");
    check("GET x.y.b.com/", &[], "1");
    check("GET c.com/", &[], "404");
    check("GET a.com/v2/x", &[], "2");
    check("GET a.com/", &[("version", "two")], "2");
    check("POST a.com/v2/exact", &[], "3");
    check("GET a.com/v2/exact", &[], "2");
    check("GET a.com/q?x=1", &[], "3");
    check("GET a.com/q?x=2", &[], "1");
    check("GET a.com/re/17", &[], "3");
    check("GET a.com/re/x", &[], "1");
    check("GET a.com/gone", &[], "500");
    let expect = ["Accepted=True/Accepted", "ResolvedRefs=False/BackendNotFound"];
    assert_eq!(said(&all, "HTTPRoute", "/parents/0/conditions"), expect);
    let expect = ["Accepted=True/Accepted", "Programmed=True/Programmed"];
    assert_eq!(said(&all, "Gateway", "/conditions"), expect);
    assert_eq!(said(&all, "GatewayClass", "/conditions"), ["Accepted=True/Accepted"]);
}

#[test]
fn why_a_route_is_not_accepted() {
    let check = |listener: Value, route: Value, accepted: &str, resolved: &str| {
        let expect = [format!("Accepted={accepted}"), format!("ResolvedRefs={resolved}")];
        assert_eq!(of_route(&[gateway(json!([http(listener)])), route]), expect);
    };
    let (good, all) = ("True/Accepted", json!({"allowedRoutes": {"namespaces": {"from": "All"}}}));
    let rules = |to: Value| json!({"rules": [{"backendRefs": to}]});
    check(json!({}), route("a", rules(to("one"))), good, "True/ResolvedRefs");
    check(
        json!({}),
        route("b", rules(json!([]))),
        "False/NotAllowedByListeners",
        "True/ResolvedRefs",
    );
    check(all.clone(), route("b", rules(json!([]))), good, "True/ResolvedRefs");
    check(
        all,
        route("b", rules(json!([{"name": "one", "namespace": "a", "port": 80}]))),
        good,
        "False/RefNotPermitted",
    );
    let selector = |team: &str| {
        json!({"allowedRoutes": {"namespaces": {"from": "Selector",
        "selector": {"matchLabels": {"team": team}}}}})
    };
    check(selector("x"), route("b", rules(json!([]))), good, "True/ResolvedRefs");
    check(
        selector("y"),
        route("b", rules(json!([]))),
        "False/NotAllowedByListeners",
        "True/ResolvedRefs",
    );
    let hosts = json!({"hostnames": ["b.com"]});
    check(
        json!({"hostname": "a.com"}),
        route("a", hosts),
        "False/NoMatchingListenerHostname",
        "True/ResolvedRefs",
    );
    let section = json!({"parentRefs": [{"name": "g", "sectionName": "other"}]});
    check(json!({}), route("a", section), "False/NoMatchingParent", "True/ResolvedRefs");
    let bucket = json!([{"kind": "Bucket", "group": "example.com", "name": "b", "port": 80}]);
    check(json!({}), route("a", rules(bucket)), good, "False/InvalidKind");
    let filter = json!({"rules": [{"filters": [{"type": "ExtensionRef"}]}]});
    check(json!({}), route("a", filter), "False/UnsupportedValue", "True/ResolvedRefs");
    let kinds = json!({"allowedRoutes": {"kinds": [{"kind": "TCPRoute"}]}});
    check(kinds, route("a", rules(json!([]))), "False/NotAllowedByListeners", "True/ResolvedRefs");
}

#[test]
fn grants_open_other_namespaces() {
    let grant = object(
        "ReferenceGrant",
        "a",
        "x",
        json!({"spec": {
        "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": "b"}],
        "to": [{"group": "", "kind": "Service", "name": "two"}]}}),
    );
    let listener = http(json!({"allowedRoutes": {"namespaces": {"from": "All"}}}));
    let check = |service: &str, expect: &str| {
        let to = json!([{"name": service, "namespace": "a", "port": 80}]);
        let route = route("b", json!({"rules": [{"backendRefs": to}]}));
        let all = compiled(&[grant.clone(), gateway(json!([listener])), route], &[]);
        assert_eq!(asks(&all, 80, "GET a.com/", &[]), expect);
    };
    check("two", "2");
    check("one", "500");
}

#[test]
fn listeners_say_what_is_wrong() {
    let check = |listener: Value, refused: &[u16], expect: [&str; 4]| {
        let objects = [gateway(json!([http(listener)])), tls_secret("a", "cert", &["a.com"])];
        let said = said(&compiled(&objects, refused), "Gateway", "/listeners/0/conditions");
        let kinds = ["Accepted", "Programmed", "ResolvedRefs", "Conflicted"];
        let expect: Vec<String> =
            kinds.iter().zip(expect).map(|(k, e)| format!("{k}={e}")).collect();
        assert_eq!(said, expect);
    };
    let (fine, no_conflict) = ("True/ResolvedRefs", "False/NoConflicts");
    let invalid = "False/Invalid";
    check(json!({}), &[], ["True/Accepted", "True/Programmed", fine, no_conflict]);
    check(json!({}), &[80], ["False/PortUnavailable", invalid, fine, no_conflict]);
    check(json!({"port": 6443}), &[], ["False/PortUnavailable", invalid, fine, no_conflict]);
    check(
        json!({"protocol": "TCP"}),
        &[],
        ["False/UnsupportedProtocol", invalid, fine, no_conflict],
    );
    let tls = |secret: &str| {
        json!({"protocol": "HTTPS", "port": 443,
        "tls": {"certificateRefs": [{"name": secret}]}})
    };
    check(tls("cert"), &[], ["True/Accepted", "True/Programmed", fine, no_conflict]);
    let broken = "False/InvalidCertificateRef";
    check(tls("none"), &[], ["True/Accepted", invalid, broken, no_conflict]);
    let elsewhere = json!({"protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "cert", "namespace": "b"}]}});
    check(elsewhere, &[], ["True/Accepted", invalid, "False/RefNotPermitted", no_conflict]);
    let kinds = json!({"allowedRoutes": {"kinds": [{"kind": "TCPRoute"}, {"kind": "HTTPRoute"}]}});
    check(kinds, &[], ["True/Accepted", "True/Programmed", "False/InvalidRouteKinds", no_conflict]);
}

#[test]
fn filters_become_actions() {
    let rules = json!({"rules": [{"matches": [{"path": {"value": "/old"}}], "backendRefs": to("one"),
        "timeouts": {"request": "10s", "backendRequest": "2s"},
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier":
                {"set": [{"name": "x-a", "value": "1"}], "remove": ["x-b"]}},
            {"type": "URLRewrite", "urlRewrite": {"hostname": "b.com",
                "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}},
            {"type": "RequestMirror", "requestMirror": {"percent": 20,
                "backendRef": {"name": "two", "port": 80}}}]}]});
    let all = compiled(&[gateway(json!([http(json!({}))])), route("a", rules)], &[]);
    let method = Method::GET;
    let headers = HeaderMap::new();
    let asked =
        Asked { host: "a.com", path: "/old/x", query: None, method: &method, headers: &headers };
    let action = &all.table.ports[&80].routes.find(&asked).unwrap().action;
    assert_eq!(action.timeout, Some(std::time::Duration::from_secs(2)));
    assert_eq!((action.request_headers.set.len(), action.request_headers.remove.len()), (1, 1));
    let rewrite = action.rewrite.as_ref().unwrap();
    assert_eq!(rewrite.host.as_deref(), Some("b.com"));
    assert_eq!(rewrite.path.as_ref().unwrap().of("/old/x"), "/new/x");
    assert_eq!(action.mirrors[0].share, Some((20, 100)));
    assert_eq!(action.mirrors[0].backend.endpoints[0].to_string(), "10.0.0.2:8080");
}

#[test]
fn what_is_right_is_not_written() {
    let mut class =
        object("GatewayClass", "", "kd", json!({"spec": {"controllerName": CONTROLLER}}));
    let writes = |class: Option<&Value>| {
        let mut view = view(class.map(std::slice::from_ref).unwrap_or_default());
        view.sync(&gateway_classes(), 1);
        let none = (BTreeSet::new(), BTreeSet::new());
        let now = Timestamp::UNIX_EPOCH;
        let compiled = compile(&view, &mut Certificates::default(), &none.0, &none.1, now);
        let of_classes = compiled.writes.into_iter().filter(|w| w.resource == gateway_classes());
        of_classes.collect::<Vec<_>>()
    };
    assert!(matches!(writes(None)[0].change, WriteKind::Create(_)), "there is always a class");
    let WriteKind::Status(patch) = &writes(Some(&class))[0].change else { panic!() };
    class["status"] = patch["status"].clone();
    assert_eq!(writes(Some(&class)), []);
}

#[test]
fn addresses_can_be_asked_for() {
    let check = |addresses: Value, programmed: &str, accepted: &str, expect: Value| {
        let mut gateway = gateway(json!([http(json!({}))]));
        gateway["spec"]["addresses"] = addresses;
        let all = compiled(&[gateway], &[]);
        let told = [format!("Accepted={accepted}"), format!("Programmed={programmed}")];
        assert_eq!(said(&all, "Gateway", "/conditions"), told);
        let write = all.writes.iter().find(|write| write.resource.kind == "Gateway").unwrap();
        let WriteKind::Status(patch) = &write.change else { panic!("{write:?}") };
        assert_eq!(patch["status"]["addresses"], expect);
    };
    let own = json!([{"type": "IPAddress", "value": "172.18.0.2"}]);
    let (served, accepted) = ("True/Programmed", "True/Accepted");
    check(own.clone(), served, accepted, own.clone());
    check(json!([{"type": "IPAddress"}]), served, accepted, own.clone());
    let other = json!([{"value": "192.0.2.1"}]);
    check(other, "False/AddressNotUsable", accepted, json!([]));
    let name = json!([{"type": "Hostname", "value": "a.com"}]);
    check(name, "False/Invalid", "False/UnsupportedAddress", json!([]));
}

#[test]
fn calls_of_grpc() {
    let rule = |method: Value, service: &str| json!({"matches": [{"method": method}], "backendRefs": to(service)});
    let headers = json!([{"name": "version", "value": "2"}]);
    let rules = json!({"rules": [
        rule(json!({"service": "a.Echo", "method": "One"}), "one"),
        rule(json!({"service": "a.Echo"}), "two"),
        rule(json!({"method": "Ping"}), "three"),
        rule(json!({"type": "RegularExpression", "service": "b[.]V[0-9]+"}), "one"),
        {"matches": [{"headers": headers}], "backendRefs": to("two")}]});
    let mut route = route("a", rules);
    route["kind"] = "GRPCRoute".into();
    let all = compiled(&[gateway(json!([http(json!({}))])), route], &[]);
    let check = |path: &str, headers: &[(&str, &str)], expect: &str| {
        assert_eq!(asks(&all, 80, &format!("POST a.com{path}"), headers), expect, "{path}");
    };
    check("/a.Echo/One", &[], "1");
    check("/a.Echo/Two", &[], "2");
    check("/x.Y/Ping", &[], "3");
    check("/b.V17/Any", &[], "1");
    check("/b.VX/Any", &[], "404");
    check("/b.VX/Any", &[("version", "2")], "2");
    let expect = ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"];
    assert_eq!(said(&all, "GRPCRoute", "/parents/0/conditions"), expect);
    let action = all.table.ports[&80].routes.actions().next().unwrap();
    let protocol = action.targets[0].backend.as_ref().unwrap().protocol;
    assert_eq!(protocol, crate::route::Protocol::Http2);
    let only = json!({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}]}});
    let mut route = self::route("a", json!({}));
    route["kind"] = "GRPCRoute".into();
    let all = compiled(&[gateway(json!([http(only)])), route], &[]);
    let told = said(&all, "GRPCRoute", "/parents/0/conditions");
    assert_eq!(told[0], "Accepted=False/NotAllowedByListeners");
}
