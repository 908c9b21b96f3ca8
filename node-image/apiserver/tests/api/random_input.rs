//! Valid requests with something in them broken at random: an answer that says so, soon; never a panic,
//! never an internal error. `RANDOM_ROUNDS` asks for more than the rounds of every day.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kd_api::{Kind, Kinds, protobuf};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::kinds::MANIFESTS;
use crate::server::{Answer, Server, read};

const ROUNDS: usize = 250;
/// Far more than any answer takes, also without optimization.
pub const PATIENCE: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const PATCH_TYPES: [&str; 4] = [
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
];

pub fn rounds() -> usize {
    std::env::var("RANDOM_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

struct Monkey {
    server: Server,
    random: StdRng,
    /// Kinds with an object of each, in the namespace `n`.
    objects: Vec<(Kind, Value)>,
}

impl Monkey {
    async fn new(seed: u64) -> Monkey {
        let server = Server::start().await;
        server.ask("POST /api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
        let kinds = Kinds::known();
        let documents = serde_yaml::Deserializer::from_str(MANIFESTS);
        let objects = documents.filter_map(|document| {
            let object = Value::deserialize(document).unwrap();
            let kind = kinds.by_api_version(
                object["apiVersion"].as_str().unwrap(),
                object["kind"].as_str().unwrap(),
            )?;
            Some((Kind::clone(kind), object))
        });
        Monkey { server, random: StdRng::seed_from_u64(seed), objects: objects.collect() }
    }

    /// An object, and the path of its collection.
    fn pick(&mut self) -> (Kind, Value, String) {
        let (kind, object) = self.objects.choose(&mut self.random).unwrap().clone();
        let root = if kind.group.is_empty() { "/api" } else { "/apis" };
        let place = if kind.namespaced() { "/namespaces/n" } else { "" };
        let path = format!("{root}/{}{place}/{}", kind.api_version(), kind.plural);
        (kind, object, path)
    }

    async fn send(&self, request: &str, sort: &str, body: impl Into<Bytes>) -> Answer {
        let body: Bytes = body.into();
        let (method, path) = request.split_once(' ').unwrap();
        let Ok(built) = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", sort)
            .body(Full::from(body.clone()))
        else {
            panic!("{request}");
        };
        let began = Instant::now();
        let answer = read(self.server.send(built).await).await;
        let shown = String::from_utf8_lossy(&body);
        assert!(began.elapsed() < PATIENCE, "{request} {shown}");
        let is_internal = answer.body["reason"] == "InternalError";
        assert!(!is_internal, "{request}\n{shown}\n{}", answer.body);
        answer
    }
}

/// Values that programs stumble over.
fn odd_value(random: &mut StdRng) -> Value {
    let odd = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.1),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("é漢🦀"),
        json!("-1"),
        json!("1e999"),
        json!("99999999999999999999999999Gi"),
        json!("*"),
        json!("a/b/c"),
        json!("../.."),
        json!("$(VAR) $$(X)"),
        json!("0.0.0.0/0"),
        json!("::1"),
        json!("256.1.1.1/33"),
        json!("2026-13-45T99:99:99Z"),
        json!("* * * * *"),
        json!("*/0 0-99 L W ?"),
        json!("[[[((("),
        json!("x".repeat(300)),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({"": ""}),
        json!({"a": {"b": [{"c": null}]}}),
        json!({"$patch": "delete"}),
        json!([{"$patch": "replace"}, {"name": "a"}, {"name": "a"}]),
        json!({"$retainKeys": ["a"], "$setElementOrder/x": [1]}),
    ];
    odd.choose(random).unwrap().clone()
}

/// Breaks one place of a value.
fn break_value(value: &mut Value, random: &mut StdRng) {
    let deeper = random.random_range(0..10) > 1;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = keys.choose(random).unwrap();
            match random.random_range(0..12) {
                0 => drop(map.remove(key)),
                1 => drop(map.insert(format!("{key}x"), odd_value(random))),
                _ => break_value(map.get_mut(key).unwrap(), random),
            }
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let index = random.random_range(0..list.len());
            match random.random_range(0..8) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                2 => list.push(odd_value(random)),
                _ => break_value(&mut list[index], random),
            }
        }
        other => *other = odd_value(random),
    }
}

/// Breaks a text or a message somewhere.
pub fn break_bytes(bytes: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        let end = (at + random.random_range(1..20)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece.repeat(random.random_range(1..5)));
            }
            _ => {
                let piece = *b"[{\"&*!:-\n\xff\x80".choose(random).unwrap();
                bytes.insert(at, piece);
            }
        }
    }
}

#[tokio::test]
async fn objects() {
    let mut monkey = Monkey::new(1).await;
    for _ in 0..rounds() {
        let (_, mut object, path) = monkey.pick();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        monkey.send(&format!("POST {path}"), JSON, object.to_string()).await;
        for _ in 0..monkey.random.random_range(1..4) {
            break_value(&mut object, &mut monkey.random);
        }
        let body = object.to_string();
        monkey.send(&format!("POST {path}?dryRun=All"), JSON, body.clone()).await;
        monkey.send(&format!("PUT {path}/{name}?dryRun=All"), JSON, body.clone()).await;
        monkey.send(&format!("PUT {path}/{name}/status?dryRun=All"), JSON, body).await;
    }
}

#[tokio::test]
async fn statuses() {
    let mut monkey = Monkey::new(2).await;
    let schemas: Vec<(Kind, Value)> = Kinds::known()
        .iter()
        .filter(|kind| kind.subresource("status").is_some())
        .map(|kind| {
            let schema = kd_api::schema::expanded(kind).unwrap();
            (Kind::clone(kind), schema["properties"]["status"].clone())
        })
        .collect();
    for _ in 0..rounds() {
        let (kind, object, path) = monkey.pick();
        let Some((_, schema)) = schemas.iter().find(|(known, _)| *known == kind) else { continue };
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        monkey.send(&format!("POST {path}"), JSON, object.to_string()).await;
        let status = sample(schema, &mut monkey.random, 0);
        let patch = json!({ "status": status }).to_string();
        let path = format!("PATCH {path}/{name}/status?dryRun=All");
        monkey.send(&path, PATCH_TYPES[0], patch).await;
    }
}

/// A value of a schema, with odd ones in it.
fn sample(schema: &Value, random: &mut StdRng, depth: usize) -> Value {
    if depth > 6 || random.random_range(0..30) == 0 {
        return odd_value(random);
    }
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_object() => {
            let fields = schema["properties"].as_object().unwrap();
            let mut object = Map::new();
            for (name, inner) in fields {
                if random.random_range(0..3) > 0 {
                    object.insert(name.clone(), sample(inner, random, depth + 1));
                }
            }
            object.into()
        }
        Some("object") => json!({"a": sample(&schema["additionalProperties"], random, depth + 1)}),
        Some("array") => {
            let count = random.random_range(0..3);
            (0..count).map(|_| sample(&schema["items"], random, depth + 1)).collect()
        }
        Some("boolean") => random.random::<bool>().into(),
        Some("integer" | "number") => random.random_range(-2..4).into(),
        _ => {
            let texts = [
                "True",
                "False",
                "Unknown",
                "a",
                "Ready",
                "1",
                "10.0.0.1",
                "IPv4",
                "2026-01-02T03:04:05Z",
            ];
            (*texts.choose(random).unwrap()).into()
        }
    }
}

#[tokio::test]
async fn encodings() {
    let mut monkey = Monkey::new(3).await;
    for _ in 0..rounds() {
        let (_, object, path) = monkey.pick();
        let path = format!("POST {path}?dryRun=All&fieldValidation=Warn");
        for (sort, mut bytes) in [
            (JSON, object.to_string().into_bytes()),
            (YAML, serde_yaml::to_string(&object).unwrap().into_bytes()),
            (PROTOBUF, protobuf::encode(&object).unwrap_or_default()),
        ] {
            break_bytes(&mut bytes, &mut monkey.random);
            monkey.send(&path, sort, bytes).await;
        }
    }
}

#[tokio::test]
async fn patches() {
    let mut monkey = Monkey::new(4).await;
    for _ in 0..rounds() {
        let (_, object, path) = monkey.pick();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        monkey.send(&format!("POST {path}"), JSON, object.to_string()).await;
        let sort = *PATCH_TYPES.choose(&mut monkey.random).unwrap();
        let mut patch = match sort {
            "application/json-patch+json" => {
                let op = ["add", "remove", "replace", "move", "copy", "test", "", "x"];
                let path = [
                    "",
                    "/",
                    "/metadata/name",
                    "/spec/-",
                    "/spec/containers/0",
                    "/~2",
                    "/metadata/annotations/a~1b",
                    "/99999999999999999999",
                ];
                let mut one = || {
                    json!({"op": op.choose(&mut monkey.random).unwrap(),
                        "path": path.choose(&mut monkey.random).unwrap(),
                        "from": path.choose(&mut monkey.random).unwrap(),
                        "value": odd_value(&mut monkey.random)})
                };
                json!([one(), one()])
            }
            _ => object.clone(),
        };
        break_value(&mut patch, &mut monkey.random);
        let request = format!("PATCH {path}/{name}?dryRun=All&fieldManager=monkey&force=true");
        let request =
            if sort.contains("apply") { request } else { request.replace("&force=true", "") };
        monkey.send(&request, sort, patch.to_string()).await;
        let mut bytes = patch.to_string().into_bytes();
        break_bytes(&mut bytes, &mut monkey.random);
        monkey.send(&request, sort, bytes).await;
    }
}

#[tokio::test]
async fn queries() {
    const TOKENS: &[&str] = &[
        "a",
        "=",
        "==",
        "!=",
        "!",
        ",",
        " in ",
        " notin ",
        "(",
        ")",
        "metadata.name",
        "spec.nodeName",
        "status.phase",
        "\\",
        "/",
        "x.example.com/",
        "é",
        "\u{0}",
        "<",
        ">",
        "1",
        "-",
        "  ",
    ];
    let mut monkey = Monkey::new(5).await;
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let list = monkey.send("GET /api/v1/configmaps?limit=1", JSON, "").await;
    let token = list.body["metadata"]["continue"].as_str().unwrap().to_owned();
    for _ in 0..rounds() {
        let count = monkey.random.random_range(0..8);
        let text: String =
            (0..count).map(|_| *TOKENS.choose(&mut monkey.random).unwrap()).collect();
        let mut broken = token.clone().into_bytes();
        break_bytes(&mut broken, &mut monkey.random);
        let broken = String::from_utf8_lossy(&broken).into_owned();
        for query in [
            format!("labelSelector={}", encode(&text)),
            format!("fieldSelector={}", encode(&text)),
            format!("limit=1&continue={}", encode(&broken)),
            format!("limit={0}&timeoutSeconds={0}", encode(&text)),
            format!("resourceVersionMatch=Exact&resourceVersion={}", monkey.random.random::<u16>()),
        ] {
            monkey.send(&format!("GET /api/v1/pods?{query}"), JSON, "").await;
        }
        let options = odd_value(&mut monkey.random);
        let options = json!({"propagationPolicy": options, "preconditions": options,
            "gracePeriodSeconds": options, "dryRun": ["All"]});
        let path = "DELETE /api/v1/namespaces/n/configmaps/x?dryRun=All";
        monkey.send(path, JSON, options.to_string()).await;
        let path: String = encode(&text);
        monkey.send(&format!("GET /api/v1/namespaces/{path}/pods/{path}/{path}"), JSON, "").await;
    }
}

/// With some of everything that a definition can say.
const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: NAMEs.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: NAMEs, kind: NAME}
  versions:
  - name: v1
    served: true
    storage: true
    selectableFields: [{jsonPath: .spec.text}]
    additionalPrinterColumns: [{name: N, type: integer, jsonPath: ".spec.list[?(@.key=='a')].value"}]
    subresources: {status: {}, scale: {specReplicasPath: .spec.count, statusReplicasPath: .status.count}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          status: {type: object, properties: {count: {type: integer}}}
          spec:
            type: object
            required: [count]
            x-kubernetes-validations:
            - {rule: "self.count < 10 || self.text.matches('^a+$')", messageExpression: "'not ' + self.text"}
            properties:
              count: {type: integer, minimum: 0, default: 1}
              text: {type: string, maxLength: 20, pattern: "^[a-z]*$", enum: [a, b]}
              either: {x-kubernetes-int-or-string: true}
              any: {x-kubernetes-preserve-unknown-fields: true}
              date: {type: string, format: date-time, nullable: true}
              list:
                type: array
                maxItems: 5
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [key]
                items: {type: object, required: [key], properties: {key: {type: string}, value: {type: integer}}}
              map: {type: object, maxProperties: 3, additionalProperties: {type: number, multipleOf: 0.5}}
"#;

fn definition(name: &str) -> Value {
    serde_yaml::from_str(&DEFINITION.replace("NAME", name)).unwrap()
}

#[tokio::test]
async fn definitions() {
    let mut monkey = Monkey::new(6).await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let whole = definition("whole");
    let made = monkey.send(&format!("POST {definitions}"), JSON, whole.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let wholes = "/apis/example.com/v1/namespaces/n/wholes";
    let object = json!({"apiVersion": "example.com/v1", "kind": "whole", "metadata": {"name": "a"},
        "spec": {"count": 3, "text": "a", "either": "1", "any": {"x": 1}, "date": null,
            "list": [{"key": "a", "value": 1}, {"key": "b"}], "map": {"a": 1.5}}});
    let made = loop {
        let made = monkey.send(&format!("POST {wholes}"), JSON, object.to_string()).await;
        if made.code != 404 {
            break made;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(made.code, 201, "{}", made.body);
    for round in 0..rounds() {
        let mut broken = definition("broken");
        for _ in 0..monkey.random.random_range(1..4) {
            break_value(&mut broken["spec"], &mut monkey.random);
        }
        let dry = if round % 4 == 0 { "" } else { "?dryRun=All" };
        let made = monkey.send(&format!("POST {definitions}{dry}"), JSON, broken.to_string()).await;
        monkey
            .send(
                &format!("PUT {definitions}/wholes.example.com?dryRun=All"),
                JSON,
                broken.to_string(),
            )
            .await;
        let mut changed = object.clone();
        break_value(&mut changed, &mut monkey.random);
        let body = changed.to_string();
        if made.code == 201 && dry.is_empty() {
            let others = wholes.replace("wholes", "brokens");
            monkey.send(&format!("POST {others}"), JSON, body.replace("whole", "broken")).await;
            monkey.send(&format!("GET {others}"), JSON, "").await;
            let path = format!("DELETE {definitions}/brokens.example.com");
            monkey.send(&path, JSON, "").await;
        }
        monkey.send(&format!("POST {wholes}?dryRun=All"), JSON, body.clone()).await;
        monkey.send(&format!("PUT {wholes}/a?dryRun=All"), JSON, body.clone()).await;
        monkey.send(&format!("PUT {wholes}/a/status?dryRun=All"), JSON, body.clone()).await;
        monkey.send(&format!("PUT {wholes}/a/scale?dryRun=All"), JSON, body.clone()).await;
        let apply = format!("PATCH {wholes}/a?dryRun=All&fieldManager=m&force=true");
        monkey.send(&apply, PATCH_TYPES[3], body).await;
    }
}
