//! `metrics.k8s.io`: CPU and memory of nodes and pods. Kubelets are asked when somebody asks here;
//! what they said is used again for a short while, and nothing is measured while nobody asks.

mod form;
mod readings;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Limited};
use kd_api::selector::{FieldSelector, Selector};
use kd_api::{Object, Status, table};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::answer;
use crate::connect::ConnectRequest;
use crate::negotiate::Form;
use crate::request::{Reader, RequestInfo};
use crate::server::ApiServer;
use crate::verbs::{Reply, VerbRequest};
use form::{node_metrics, pod_metrics};
pub(crate) use readings::Readings;
use readings::{Reading, Use};

/// Kubelets asked at the same time for one request.
const KUBELETS_MAX: usize = 16;
/// A kubelet that takes longer is left out.
const KUBELET_TIMEOUT: Duration = Duration::from_secs(5);
/// A kubelet's answer is not longer.
const SUMMARY_BYTES_MAX: usize = 16 << 20;
/// The time over which CPU is measured when nobody asked before.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// GET and LIST.
pub(crate) async fn answer(request: &mut VerbRequest) -> Result<Reply, Status> {
    let name = request.name().to_owned();
    let selection = Selection::of(request)?;
    let objects = match request.kind.plural.as_str() {
        "nodes" => nodes(request.server(), &name, &selection).await?,
        _ => pods(request.server(), request.namespace(), &name, &selection).await?,
    };
    let wanted = request.wanted()?;
    let list = name.is_empty();
    let value = match (wanted.form, list) {
        (Form::Object, false) => objects.into_iter().next().unwrap_or_default(),
        (Form::Object, true) => json!({
            "kind": request.kind.list_kind, "apiVersion": request.kind.api_version(),
            "metadata": {}, "items": objects,
        }),
        (Form::Metadata, false) => table::partial_object(&objects[0]),
        (Form::Metadata, true) => table::partial_object_list(&objects, &json!({})),
        (Form::Table(include), _) => {
            let now = (request.server().clock)();
            let columns = form::columns();
            table::custom_table(&objects, &columns, form::cell, &json!({}), include, now)
        }
    };
    Ok(Reply::Answer(answer::value(200, &value, wanted)))
}

/// Which objects are asked for.
struct Selection {
    labels: Selector,
    fields: FieldSelector,
}

impl Selection {
    fn of(request: &VerbRequest) -> Result<Selection, Status> {
        let info = request.info();
        let labels = match info.label_selector.as_str() {
            "" => Selector::everything(),
            text => Selector::parse(text).map_err(|error| {
                Status::bad_request(format!("unable to parse requirement: {error}"))
            })?,
        };
        Ok(Selection { labels, fields: FieldSelector::parse(&request.kind, &info.field_selector)? })
    }

    fn takes(&self, object: &Value) -> bool {
        let labels = object.at(&["metadata", "labels"]).unwrap_or(&Value::Null);
        self.labels.matches(labels) && self.fields.matches(object)
    }
}

async fn nodes(
    server: &Arc<ApiServer>,
    name: &str,
    selection: &Selection,
) -> Result<Vec<Value>, Status> {
    let mut nodes = server.reader().list("", "nodes", None);
    nodes.retain(|node| (name.is_empty() || node.name() == name) && selection.takes(node));
    let used = measured(server, &nodes).await;
    let mut objects = Vec::new();
    for node in &nodes {
        if let Some(used) = used.get(node.name()) {
            objects.extend(node_metrics(node, used));
        }
    }
    match name.is_empty() || !objects.is_empty() {
        true => Ok(objects),
        false => Err(Status::not_found("metrics.k8s.io", "nodemetrics", name)),
    }
}

async fn pods(
    server: &Arc<ApiServer>,
    namespace: &str,
    name: &str,
    selection: &Selection,
) -> Result<Vec<Value>, Status> {
    let reader = server.reader();
    let mut pods = reader.list("", "pods", Some(namespace).filter(|n| !n.is_empty()));
    pods.retain(|pod| (name.is_empty() || pod.name() == name) && selection.takes(pod));
    let full_name = format!("{namespace}/{name}");
    if !name.is_empty() && pods.is_empty() {
        return Err(Status::not_found("", "pods", &full_name));
    }
    let node_of = |pod: &Value| pod.str_at(&["spec", "nodeName"]).to_owned();
    let mut nodes = reader.list("", "nodes", None);
    nodes.retain(|node| pods.iter().any(|pod| node_of(pod) == node.name()));
    let used = measured(server, &nodes).await;
    let mut objects = Vec::new();
    for pod in &pods {
        if let Some(used) = used.get(&node_of(pod)) {
            objects.extend(pod_metrics(pod, used));
        }
    }
    match name.is_empty() || !objects.is_empty() {
        true => Ok(objects),
        false => Err(Status::not_found("metrics.k8s.io", "podmetrics", &full_name)),
    }
}

/// What these nodes use, by name; without those whose kubelets do not answer.
async fn measured(server: &Arc<ApiServer>, nodes: &[Arc<Value>]) -> BTreeMap<String, Use> {
    let known: Vec<String> = {
        let all = server.reader().list("", "nodes", None);
        all.iter().map(|node| node.name().to_owned()).collect()
    };
    server.readings.keep(&known);
    let each = nodes.iter().cloned().map(|node| {
        let server = server.clone();
        async move {
            let name = node.name().to_owned();
            match node_use(&server, node).await {
                Ok(used) => Some((name, used)),
                Err(status) => {
                    tracing::info!(node = name, why = status.message, "no metrics of a node");
                    None
                }
            }
        }
    });
    // Boxed: its type would be too general for the compiler.
    let all: Vec<Option<(String, Use)>> =
        stream::iter(each).buffer_unordered(KUBELETS_MAX).boxed().collect().await;
    all.into_iter().flatten().collect()
}

async fn node_use(server: &Arc<ApiServer>, node: Arc<Value>) -> Result<Use, Status> {
    let readings = server.readings.of(node.name());
    let mut readings = readings.lock().await;
    if let Some(used) = readings.current(Instant::now()) {
        return Ok(used);
    }
    readings.add(reading(server, node.clone()).await?);
    if let Some(used) = readings.current(Instant::now()) {
        return Ok(used);
    }
    // Two readings make a rate.
    sleep(WINDOW_MIN).await;
    readings.add(reading(server, node).await?);
    readings.current(Instant::now()).ok_or_else(|| Status::internal("no time has passed"))
}

/// Asks a kubelet.
async fn reading(server: &Arc<ApiServer>, node: Arc<Value>) -> Result<Reading, Status> {
    let connect = server.connect.read().unwrap_or_else(PoisonError::into_inner).clone();
    let connect = connect.ok_or_else(|| Status::unavailable("the way to nodes is not set up"))?;
    let name = node.name().to_owned();
    let info = RequestInfo {
        is_resource: true,
        path: format!("/api/v1/nodes/{name}/proxy/stats/summary"),
        verb: "get".into(),
        version: "v1".into(),
        resource: "nodes".into(),
        subresource: "proxy".into(),
        rest: "stats/summary".into(),
        name,
        ..RequestInfo::default()
    };
    let body = answer::full(bytes::Bytes::new());
    let request = Request::get(format!("{}?only_cpu_and_memory=true", info.path)).body(body);
    let request = request.map_err(Status::internal)?;
    let user = crate::request::UserInfo::default();
    let asked = async {
        let answer = connect.connect(ConnectRequest { info, user, object: node, request }).await?;
        let code = answer.status();
        let body = Limited::new(answer.into_body(), SUMMARY_BYTES_MAX).collect().await;
        let body =
            body.map_err(|error| Status::internal(format!("the kubelet broke off: {error}")))?;
        match code.is_success() {
            true => serde_json::from_slice::<Value>(&body.to_bytes()).map_err(Status::internal),
            false => Err(Status::internal(format!("the kubelet answered {code}"))),
        }
    };
    let summary = timeout(KUBELET_TIMEOUT, asked).await;
    let summary =
        summary.unwrap_or_else(|_| Err(Status::internal("the kubelet takes too long")))?;
    Ok(Reading::of(&summary, Instant::now(), (server.clock)()))
}
