//! Extenders: programs of the user's that are asked over HTTP for what plugins do not know
//! (<https://github.com/kubernetes/design-proposals-archive/blob/main/scheduling/scheduler_extender.md>).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kd_contract::scheduler::Extender as Written;
use kube::client::Body;
use serde_json::{Value, json};

use crate::node::NodeFacts;
use crate::pod::PodFacts;
use crate::preemption::Candidate;

/// Extenders score 0 to 10, plugins 0 to 100.
const SCORE_SCALE: i64 = 10;
const ANSWER_BYTES_MAX: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// An extender.
pub struct Extender {
    written: Written,
    client: kube::Client,
    timeout: Duration,
}

/// What a filter left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Nodes that are left.
    pub left: Vec<String>,
    /// Why others are not, and whether removing pods could help.
    pub refused: BTreeMap<String, (String, bool)>,
}

/// A field whatever the case of its letters, as Go reads it.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let fields = value.as_object().into_iter().flatten();
    let mut known = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    known.next().map_or(&Value::Null, |(_, value)| value)
}

fn error_of(answer: &Value) -> Result<(), String> {
    match field(answer, "error").as_str().unwrap_or_default() {
        "" => Ok(()),
        why => Err(why.to_owned()),
    }
}

impl Extender {
    /// An extender as configured.
    pub fn of(written: &Written) -> Result<Extender, String> {
        let url = written.url_prefix.parse::<http::Uri>();
        let url = url.map_err(|e| format!("extender {:?}: {e}", written.url_prefix))?;
        let mut config = kube::Config::new(url);
        if let Some(tls) = &written.tls_config {
            config.accept_invalid_certs = tls.insecure;
            config.tls_server_name = Some(tls.server_name.clone()).filter(|n| !n.is_empty());
            let given = |data: &str| (!data.is_empty()).then(|| data.to_owned());
            config.auth_info.client_certificate_data = given(&tls.cert_data);
            config.auth_info.client_key_data = given(&tls.key_data).map(Into::into);
            config.root_cert = authorities(&tls.ca_data);
        }
        let client = kube::Client::try_from(config);
        let client = client.map_err(|e| format!("extender {:?}: {e}", written.url_prefix))?;
        let timeout = duration(&written.http_timeout).unwrap_or(TIMEOUT);
        Ok(Extender { written: written.clone(), client, timeout })
    }

    /// Whether it has a say in placing a pod.
    pub fn is_interested(&self, pod: &PodFacts) -> bool {
        let managed = &self.written.managed_resources;
        let asks = |name: &str| pod.wishes.requests.extended.contains_key(name);
        managed.is_empty() || managed.iter().any(|resource| asks(&resource.name))
    }

    /// Whether pods are placed without it when it fails.
    pub fn is_ignorable(&self) -> bool {
        self.written.ignorable
    }

    /// Whether it binds pods.
    pub fn binds(&self) -> bool {
        !self.written.bind_verb.is_empty()
    }

    /// Resources that NodeResourcesFit leaves to it.
    pub fn ignored_resources(written: &[Written]) -> impl Iterator<Item = String> {
        let all = written.iter().flat_map(|extender| &extender.managed_resources);
        all.filter(|resource| resource.ignored_by_scheduler).map(|resource| resource.name.clone())
    }

    /// Which of the nodes it lets through.
    pub async fn filter(&self, pod: &Value, nodes: &[&Arc<NodeFacts>]) -> Result<Filtered, String> {
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        if self.written.filter_verb.is_empty() {
            return Ok(Filtered { left: names, refused: BTreeMap::new() });
        }
        let answer = self.ask(&self.written.filter_verb, &self.arguments(pod, nodes)).await?;
        error_of(&answer)?;
        Ok(filtered(&answer, &names))
    }

    /// Its scores by node, weighted.
    pub async fn scores(
        &self,
        pod: &Value,
        nodes: &[&Arc<NodeFacts>],
    ) -> Result<HashMap<String, i64>, String> {
        if self.written.prioritize_verb.is_empty() {
            return Ok(HashMap::new());
        }
        let answer = self.ask(&self.written.prioritize_verb, &self.arguments(pod, nodes)).await?;
        let rows = answer.as_array().into_iter().flatten();
        let score = |row: &Value| {
            let score = field(row, "score").as_i64()? * self.written.weight * SCORE_SCALE;
            Some((field(row, "host").as_str()?.to_owned(), score))
        };
        Ok(rows.filter_map(score).collect())
    }

    /// Which victims it accepts.
    pub async fn preempt(
        &self,
        pod: &Value,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, String> {
        if self.written.preempt_verb.is_empty() {
            return Ok(candidates);
        }
        let victims = |candidate: &Candidate| {
            let pods =
                candidate.victims.iter().map(|victim| match self.written.node_cache_capable {
                    true => json!({"UID": victim.uid}),
                    false => json!({"metadata": {"name": &*victim.key.name, "uid": victim.uid,
                    "namespace": &*victim.key.namespace}}),
                });
            json!({"Pods": pods.collect::<Vec<_>>(),
                "NumPDBViolations": candidate.violations()})
        };
        let all: serde_json::Map<String, Value> =
            candidates.iter().map(|c| (c.node.clone(), victims(c))).collect();
        let name = match self.written.node_cache_capable {
            true => "NodeNameToMetaVictims",
            false => "NodeNameToVictims",
        };
        let answer = self.ask(&self.written.preempt_verb, &json!({"Pod": pod, name: all})).await?;
        let accepted = field(&answer, "nodeNameToMetaVictims");
        Ok(candidates.into_iter().filter_map(|c| accept(c, accepted)).collect())
    }

    /// Binds a pod.
    pub async fn bind(&self, pod: &PodFacts, node: &str) -> Result<(), String> {
        let arguments = json!({"PodName": &*pod.key.name, "PodNamespace": &*pod.key.namespace,
            "PodUID": pod.uid, "Node": node});
        let answer = self.ask(&self.written.bind_verb, &arguments).await?;
        error_of(&answer)
    }

    fn arguments(&self, pod: &Value, nodes: &[&Arc<NodeFacts>]) -> Value {
        if self.written.node_cache_capable {
            let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            return json!({"Pod": pod, "Nodes": null, "NodeNames": names});
        }
        let node = |node: &&Arc<NodeFacts>| {
            json!({"metadata": {"name": node.name, "labels": *node.labels},
                "spec": {"taints": *node.taints, "unschedulable": node.unschedulable},
                "status": {"allocatable": node.allocatable.written(node.pods_max),
                    "capacity": node.allocatable.written(node.pods_max)}})
        };
        let items: Vec<Value> = nodes.iter().map(node).collect();
        json!({"Pod": pod, "Nodes": {"metadata": {}, "items": items}, "NodeNames": null})
    }

    async fn ask(&self, verb: &str, arguments: &Value) -> Result<Value, String> {
        let url = format!("{}/{verb}", self.written.url_prefix.trim_end_matches('/'));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/{verb}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(arguments.to_string().into_bytes()))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.send(request).await;
            let response = response.map_err(|e| format!("Post {url:?}: {e}"))?;
            let status = response.status();
            if status != http::StatusCode::OK {
                return Err(format!(
                    "failed {verb} with extender at URL {url}, code {}",
                    status.as_u16()
                ));
            }
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|e| format!("Post {url:?}: {e}"))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|e| format!("Post {url:?}: {e}"))
        };
        let late = |_| format!("Post {url:?}: context deadline exceeded");
        tokio::time::timeout(self.timeout, exchange).await.map_err(late)?
    }
}

fn filtered(answer: &Value, asked: &[String]) -> Filtered {
    let names = field(answer, "nodeNames").as_array().into_iter().flatten();
    let items = field(field(answer, "nodes"), "items").as_array().into_iter().flatten();
    let named = items.map(|node| &node["metadata"]["name"]);
    let left = names.chain(named).filter_map(Value::as_str);
    let left = left.filter(|name| asked.iter().any(|known| known == name)).map(str::to_owned);
    let mut refused = BTreeMap::new();
    for (from, resolvable) in [("failedNodes", true), ("failedAndUnresolvableNodes", false)] {
        for (node, why) in field(answer, from).as_object().into_iter().flatten() {
            let why = why.as_str().unwrap_or_default().to_owned();
            refused.insert(node.clone(), (why, resolvable));
        }
    }
    Filtered { left: left.collect(), refused }
}

/// A candidate with the victims that an extender accepts; None when it does not accept the node.
fn accept(mut candidate: Candidate, accepted: &Value) -> Option<Candidate> {
    let victims = field(accepted, &candidate.node).as_object()?;
    let victims = Value::Object(victims.clone());
    let pods = field(&victims, "pods").as_array().cloned().unwrap_or_default();
    let has = |uid: &str| pods.iter().any(|pod| field(pod, "uid") == uid);
    candidate.victims.retain(|victim| has(&victim.uid));
    Some(candidate)
}

/// DER of the certificates in PEM in base64.
fn authorities(data: &str) -> Option<Vec<Vec<u8>>> {
    let pem = String::from_utf8(BASE64_STANDARD.decode(data).ok()?).ok()?;
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let body = |block: &str| {
        let text = block.split("-----END").next().unwrap_or_default();
        let letters: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        BASE64_STANDARD.decode(letters).ok()
    };
    let all: Vec<Vec<u8>> = blocks.filter_map(body).collect();
    (!all.is_empty()).then_some(all)
}

/// A duration as Go writes it: `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 6] =
        [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(duration(text), expect.map(Duration::from_millis), "{text}");
        };
        check("30s", Some(30_000));
        check("1m30s", Some(90_000));
        check("500ms", Some(500));
        check("0s", None);
        check("fast", None);
        check("99999999999999999999h", None);
    }

    #[test]
    fn answers() {
        let asked = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let by_name =
            filtered(&json!({"nodenames": ["b", "x"], "failedNodes": {"a": "no"}}), &asked);
        assert_eq!(by_name.left, ["b"]);
        assert_eq!(by_name.refused["a"], ("no".to_owned(), true));
        let items = json!({"Nodes": {"items": [{"metadata": {"name": "c"}}]},
            "FailedAndUnresolvableNodes": {"a": "never"}});
        let by_object = filtered(&items, &asked);
        assert_eq!(by_object.left, ["c"]);
        assert_eq!(by_object.refused["a"], ("never".to_owned(), false));
    }
}
