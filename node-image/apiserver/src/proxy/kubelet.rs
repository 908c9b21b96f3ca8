//! From `pods/log`, `exec`, `attach` and `portforward` to the kubelet's own paths and parameters.

use std::sync::Arc;

use http_body_util::BodyExt;
use kd_api::Status;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde_json::Value;

use super::forward::{Destination, Security};
use super::target::node_address;
use crate::answer::Answer;
use crate::connect::ConnectRequest;
use crate::query::Query;
use crate::request::Reader;

/// An explanation of a kubelet may not be longer.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// The kubelet's name of each parameter of exec and attach.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
/// Parameters of log that mean the same to the kubelet.
const LOG: [&str; 8] = [
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
];

/// Where a pod's kubelet answers this request.
pub(super) fn destination(
    request: &ConnectRequest,
    reader: &dyn Reader,
    kubelets: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let pod = &*request.object;
    let name = &request.info.name;
    let node_name = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node_name.is_empty() {
        let reason = format!("pod {name} does not have a host assigned");
        return Err(Status::bad_request(reason));
    }
    let node = reader
        .get("", "nodes", "", node_name)
        .ok_or_else(|| Status::not_found("", "nodes", node_name))?;
    let (address, port) = node_address(&node)?;
    let query = Query::parse(request.request.uri().query().unwrap_or_default());
    let path = path_and_query(request, pod, &query)?;
    let security = Security::Tls { name: node_name.to_owned(), config: kubelets.clone() };
    Ok(Destination { address, port, security, path, keeps_host: false })
}

fn path_and_query(request: &ConnectRequest, pod: &Value, query: &Query) -> Result<String, Status> {
    let info = &request.info;
    let of_pod = format!("{}/{}", info.namespace, info.name);
    let mut parameters = Parameters::default();
    match info.subresource.as_str() {
        "portforward" => {
            for ports in query.all("ports") {
                parameters.add("port", ports);
            }
            return Ok(parameters.after(format!("/portForward/{of_pod}")));
        }
        "log" => {
            let container = container(pod, &info.name, query.first("container"))?;
            for name in LOG {
                if !query.first(name).is_empty() {
                    parameters.add(name, query.first(name));
                }
            }
            return Ok(parameters.after(format!("/containerLogs/{of_pod}/{container}")));
        }
        _ => {}
    }
    let container = container(pod, &info.name, query.first("container"))?;
    let asked: Vec<_> = STREAMS.iter().filter(|(name, _)| query.flag(name)).collect();
    let any_stream = asked.iter().any(|(name, _)| *name != "tty");
    for (_, kubelets_name) in &asked {
        parameters.add(kubelets_name, "1");
    }
    if !any_stream {
        parameters.add("output", "1");
        parameters.add("error", "1");
    }
    for word in query.all("command") {
        parameters.add("command", word);
    }
    Ok(parameters.after(format!("/{}/{of_pod}/{container}", info.subresource)))
}

/// The container that is asked for, or the only one.
fn container(pod: &Value, pod_name: &str, asked: &str) -> Result<String, Status> {
    const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
        containers.iter().filter_map(|c| c["name"].as_str().map(str::to_owned)).collect()
    };
    if !asked.is_empty() {
        let known = LISTS.iter().any(|list| names(list).iter().any(|name| name == asked));
        return match known {
            true => Ok(asked.to_owned()),
            false => {
                let reason = format!("container {asked} is not valid for pod {pod_name}");
                Err(Status::bad_request(reason))
            }
        };
    }
    let [main, init, ephemeral] = LISTS.map(names);
    match main.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod_name}"
        ))),
        many => {
            let mut reason = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                reason = format!("{reason} or one of the init containers: [{}]", init.join(" "));
            }
            if !ephemeral.is_empty() {
                reason = format!(
                    "{reason} or one of the ephemeral containers: [{}]",
                    ephemeral.join(" ")
                );
            }
            Err(Status::bad_request(reason))
        }
    }
}

/// Parameters under construction.
#[derive(Default)]
struct Parameters(Vec<String>);

impl Parameters {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push(format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }

    fn after(self, path: String) -> String {
        if self.0.is_empty() { path } else { format!("{path}?{}", self.0.join("&")) }
    }
}

/// What a kubelet says about a log that it has not, as a Status.
pub(super) async fn log_refusal(answer: Answer) -> Status {
    let code = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    // What is beyond the limit, or behind a broken connection, is left out.
    while let Some(Ok(frame)) = body.frame().await
        && bytes.len() < REFUSAL_BYTES_MAX
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    match code {
        400 => Status::bad_request(text),
        404 => Status::failure(
            404,
            "NotFound",
            format!("the server could not find the requested resource ( {text})"),
        ),
        _ => Status::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_only_container_needs_no_name() {
        let one = json!({"spec": {"containers": [{"name": "a"}]}});
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}]}});
        let check = |pod: &Value, asked: &str, expected: &str| {
            let found = container(pod, "p", asked).unwrap_or_else(|status| status.message);
            assert_eq!(found, expected);
        };
        check(&one, "", "a");
        check(&two, "b", "b");
        check(&two, "i", "i");
        check(&two, "x", "container x is not valid for pod p");
        check(
            &two,
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init \
             containers: [i]",
        );
    }

    #[test]
    fn parameters_are_encoded() {
        let mut parameters = Parameters::default();
        parameters.add("command", "echo a&b");
        parameters.add("tty", "1");
        assert_eq!(parameters.after("/exec".into()), "/exec?command=echo%20a%26b&tty=1");
    }
}
