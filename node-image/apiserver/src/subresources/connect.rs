//! `log`, `exec`, `attach`, `portforward` and `proxy`: admitted here, then passed on.

use std::sync::{Arc, PoisonError};

use http::Request;
use kd_api::{Object, Status};
use serde_json::{Value, json};

use crate::connect::{ConnectRequest, object_name};
use crate::request::{Operation, UserInfo};
use crate::storage::key_of;
use crate::verbs::{Reply, VerbRequest, Write};

/// Any method.
pub(super) async fn connect(request: &mut VerbRequest) -> Result<Reply, Status> {
    let info = request.info().clone();
    if info.subresource != "log" && request.query().has("dryRun") {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let connect = request.server().connect.read().unwrap_or_else(PoisonError::into_inner).clone();
    let connect = connect.ok_or_else(|| Status::unavailable("the way to nodes is not set up"))?;
    let name = match info.subresource.as_str() {
        "proxy" => object_name(&info.name),
        _ => &info.name,
    };
    let key = key_of(&request.kind, request.namespace(), name);
    let entry = request.objects().store.get(&key);
    let entry = entry.ok_or_else(|| request.not_found(name))?;
    let object = Arc::new(request.objects().decode(&request.kind, &entry)?);
    // Reading a log changes nothing and connects to nothing inside.
    if info.subresource != "log" {
        admit(request).await?;
    }
    let body = request.take_body().unwrap_or_else(|| crate::answer::full(bytes::Bytes::new()));
    let parts = std::mem::replace(&mut request.exchange.parts, empty_parts());
    let user = UserInfo::clone(&request.exchange.user);
    let request = Request::from_parts(parts, body);
    connect.connect(ConnectRequest { info, user, object, request }).await.map(Reply::Answer)
}

async fn admit(request: &mut VerbRequest) -> Result<(), Status> {
    let info = request.info().clone();
    let kind = request.kind.clone();
    let row = kind.subresource(&info.subresource).ok_or_else(Status::no_such_path)?;
    let (group, version, body) = &row.body;
    let mut options: Value = json!({});
    options.set_type(version, body);
    for name in ["container", "path"] {
        if !request.query().first(name).is_empty() {
            options[name] = request.query().first(name).into();
        }
    }
    for name in ["stdin", "stdout", "stderr", "tty"] {
        if request.query().flag(name) {
            options[name] = true.into();
        }
    }
    let command: Vec<&str> = request.query().all("command").collect();
    if !command.is_empty() {
        options["command"] = command.into();
    }
    let ports = request.query().all("ports").flat_map(|list| list.split(','));
    let ports: Vec<u16> = ports.filter_map(|port| port.trim().parse().ok()).collect();
    if !ports.is_empty() {
        options["ports"] = ports.into();
    }
    let write = Write {
        operation: Operation::Connect,
        info: &info,
        kind: (group, version, body),
        object: options,
        old: None,
        options: Value::Null,
        dry_run: false,
    };
    request.admit(write, |_| Ok(())).await.map(drop)
}

/// What is left of a request that was passed on. Its headers decide about the answer no more.
fn empty_parts() -> http::request::Parts {
    Request::new(()).into_parts().0
}
