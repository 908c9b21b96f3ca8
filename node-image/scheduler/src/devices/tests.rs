//! What the allocator finds, as tables.

use serde_json::{Value, json};

use super::*;
use crate::testing::{cluster, node, pod};

fn device(name: &str, model: &str, memory: &str, numa: i64) -> Value {
    json!({"name": name, "attributes": {"model": {"string": model}, "numa": {"int": numa},
            "version": {"version": "1.2.0"}},
        "capacity": {"memory": {"value": memory}}})
}

fn slice(name: &str, on: Value, devices: &[Value]) -> Value {
    let mut spec = json!({"driver": "gpu.example.com", "pool": {"name": name, "generation": 1,
        "resourceSliceCount": 1}, "devices": devices});
    for (key, value) in on.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

fn claim(name: &str, devices: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"},
        "spec": {"devices": devices}})
}

fn exactly(name: &str, more: Value) -> Value {
    let mut exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    for (key, value) in more.as_object().unwrap() {
        exactly[key] = value.clone();
    }
    json!({"name": name, "exactly": exactly})
}

fn where_(expression: &str) -> Value {
    json!({"selectors": [{"cel": {"expression": expression}}]})
}

/// Two nodes: `a` has two devices, `b` one; any node reaches the one of `net`.
fn devices(claims: &[Value]) -> Devices {
    let mut devices = Devices::default();
    let on = |name: &str| json!({"nodeName": name});
    let of_a = [device("a0", "x", "40Gi", 0), device("a1", "y", "80Gi", 1)];
    devices.set_slice("a", Some(&slice("a", on("a"), &of_a)));
    devices.set_slice("b", Some(&slice("b", on("b"), &[device("b0", "y", "80Gi", 0)])));
    let net = [device("n0", "z", "1Gi", 0)];
    devices.set_slice("net", Some(&slice("net", json!({"allNodes": true}), &net)));
    let class = json!({"spec": {"selectors": [
        {"cel": {"expression": "device.driver == 'gpu.example.com'"}}],
        "config": [{"opaque": {"driver": "gpu.example.com", "parameters": {}}}]}});
    devices.set_class("gpu", Some(&class));
    for claim in claims {
        let name = claim["metadata"]["name"].as_str().unwrap();
        devices.set_claim(&Key::new("n", name), Some(claim.clone()));
    }
    devices
}

fn user(claims: &[&str]) -> PodFacts {
    let refs: Vec<Value> =
        claims.iter().map(|name| json!({"name": name, "resourceClaimName": name})).collect();
    pod("p", json!({"spec": {"resourceClaims": refs}}))
}

/// The devices that a pod with these claims gets on a node, or why not.
fn outcome(devices: &Devices, claims: &[&str], on: &str) -> Result<Vec<String>, String> {
    let cluster = cluster(&[node("a", json!({})), node("b", json!({}))], &[]);
    let pod = user(claims);
    let writes = devices.claims_of(&pod)?.writes(&pod, cluster.node(on).unwrap())?;
    let results = writes.iter().flat_map(|w| {
        w.status["allocation"]["devices"]["results"].as_array().cloned().unwrap_or_default()
    });
    Ok(results.map(|r| format!("{}={}", text(&r, "request"), text(&r, "device"))).collect())
}

#[test]
fn devices_are_found() {
    const NONE: &str = "claim allocation not found for node";
    let check = |requests: Value, on: &str, expect: Result<&[&str], &str>| {
        let devices = devices(&[claim("c", requests.clone())]);
        let found = outcome(&devices, &["c"], on);
        let expect = expect.map(|all| all.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expect.map_err(str::to_owned), "{requests} on {on}");
    };
    let requests = |all: &[Value]| json!({"requests": all});
    check(requests(&[exactly("r", json!({}))]), "a", Ok(&["r=a0"]));
    check(requests(&[exactly("r", json!({"count": 3}))]), "a", Ok(&["r=a0", "r=a1", "r=n0"]));
    check(requests(&[exactly("r", json!({"count": 3}))]), "b", Err(NONE));
    check(requests(&[exactly("r", json!({"allocationMode": "All"}))]), "b", Ok(&["r=b0", "r=n0"]));
    let big = "device.capacity['gpu.example.com'].memory.isGreaterThan(quantity('50Gi'))";
    check(requests(&[exactly("r", where_(big))]), "a", Ok(&["r=a1"]));
    let model = |m: &str| where_(&format!("device.attributes['gpu.example.com'].model == '{m}'"));
    check(requests(&[exactly("r", model("x"))]), "b", Err(NONE));
    let new = "device.attributes['gpu.example.com'].version.isGreaterThan(semver('1.1.0'))";
    check(requests(&[exactly("r", where_(new))]), "b", Ok(&["r=b0"]));
    let absent = "'x' in device.attributes['other.example.com']";
    check(requests(&[exactly("r", where_(absent))]), "a", Err(NONE));
    // The first request gives way to the second.
    let two = [exactly("any", json!({})), exactly("x", model("x"))];
    check(requests(&two), "a", Ok(&["any=a1", "x=a0"]));
    let first = json!({"name": "r", "firstAvailable": [
        {"name": "x", "deviceClassName": "gpu", "selectors": model("x")["selectors"]},
        {"name": "y", "deviceClassName": "gpu", "selectors": model("y")["selectors"]}]});
    check(requests(std::slice::from_ref(&first)), "a", Ok(&["r/x=a0"]));
    check(requests(&[first]), "b", Ok(&["r/y=b0"]));
    let constrained = |key: &str| {
        json!({"requests": [exactly("r", json!({"count": 2}))],
            "constraints": [{"requests": ["r"], key: "gpu.example.com/numa"}]})
    };
    check(constrained("matchAttribute"), "a", Ok(&["r=a0", "r=n0"]));
    check(constrained("distinctAttribute"), "a", Ok(&["r=a0", "r=a1"]));
    let broken = where_("device.attributes['gpu.example.com'].nothing == 1");
    let why = "request r: selector #0: CEL runtime error: no such key: nothing";
    check(requests(&[exactly("r", broken)]), "a", Err(why));
}

#[test]
fn who_has_to_wait() {
    let check = |devices: &Devices, claims: &[&str], expect: &str| {
        assert_eq!(outcome(devices, claims, "a").unwrap_err(), expect);
    };
    check(&devices(&[]), &["c"], "resourceclaim.resource.k8s.io \"c\" not found");
    let unknown = json!({"requests": [exactly("r", json!({"deviceClassName": "tpu"}))]});
    let missing = "request r: device class tpu does not exist";
    check(&devices(&[claim("c", unknown)]), &["c"], missing);
    let mut going = claim("c", json!({}));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(&devices(&[going]), &["c"], "resourceclaim \"c\" is being deleted");
    let made = pod(
        "p",
        json!({"spec": {"resourceClaims": [
        {"name": "c", "resourceClaimTemplateName": "t"}]}}),
    );
    assert!(!devices(&[]).has_claims_of(&made));
}

#[test]
fn what_is_in_use_is_not_given_again() {
    let one = || json!({"requests": [exactly("r", json!({}))]});
    let mut known = devices(&[claim("c", one()), claim("d", one())]);
    let cluster = cluster(&[node("a", json!({}))], &[]);
    let first = user(&["c"]);
    let writes =
        known.claims_of(&first).unwrap().writes(&first, cluster.node("a").unwrap()).unwrap();
    let allocation = &writes[0].status["allocation"];
    assert_eq!(
        allocation["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"][0],
        "a"
    );
    assert_eq!(allocation["devices"]["config"][0]["source"], "FromClass");
    assert_eq!(writes[0].status["reservedFor"][0]["name"], "p");
    assert_eq!(writes[0].finalizers, Some(json!([FINALIZER])));
    known.assume(&writes);
    assert_eq!(outcome(&known, &["d"], "a").unwrap(), ["r=a1"]);
    known.release(&writes);
    assert_eq!(outcome(&known, &["d"], "a").unwrap(), ["r=a0"]);
    // Once allocated, the claim is for its node.
    known.set_claim(&Key::new("n", "c"), Some((*writes[0].after).clone()));
    let claims = known.claims_of(&first).unwrap();
    assert!(claims.available_on(cluster.node("a").unwrap()));
    assert_eq!(claims.writes(&first, cluster.node("a").unwrap()).unwrap(), []);
    let admin = json!({"requests": [exactly("r", json!({"adminAccess": true}))]});
    known.set_claim(&Key::new("n", "e"), Some(claim("e", admin)));
    assert_eq!(outcome(&known, &["e"], "a").unwrap(), ["r=a0"]);
}
