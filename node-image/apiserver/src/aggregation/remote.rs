//! A server elsewhere: where it is, whom to believe there, what it serves, whether it is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kd_api::Object;
use serde_json::Value;

use super::client::RemoteClient;
use crate::request::Reader;
use crate::webhook::{Identity, Place, Target};

/// The port of a Service that names none.
const HTTPS_PORT: u16 = 443;

/// An APIService that leads to a Service.
pub(crate) struct Remote {
    /// `v1beta1.metrics.k8s.io`
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) group_priority: i64,
    pub(crate) version_priority: i64,
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) port: u16,
    /// Reaches it; or why that cannot be.
    pub(crate) client: Result<RemoteClient, String>,
    spec: Value,
    available: AtomicBool,
    documents: RwLock<Documents>,
}

/// What a remote server says of itself; kept while it is away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Documents {
    /// The resources of its group and version, as `/apis/<group>/<version>` lists them.
    pub(crate) resources: Arc<Value>,
    /// The hash of its OpenAPI v3 document, "" if it has none.
    pub(crate) openapi_hash: String,
    /// Its OpenAPI v2 document, Null if it has none.
    pub(crate) openapi_v2: Arc<Value>,
}

impl Remote {
    pub(super) fn key_of(service: &Value) -> (String, String) {
        let text = |field: &str| service.str_at(&["spec", field]).to_owned();
        (text("group"), text("version"))
    }

    pub(super) fn new(
        service: &Value,
        identity: Option<Identity>,
        reader: &Arc<dyn Reader>,
    ) -> Remote {
        let spec = &service["spec"];
        let (group, version) = Remote::key_of(service);
        let target = target(spec, identity);
        let client = target.and_then(|target| RemoteClient::new(target, reader.clone()));
        Remote {
            name: service.name().into(),
            group,
            version,
            group_priority: spec.i64_at(&["groupPriorityMinimum"]).unwrap_or(0),
            version_priority: spec.i64_at(&["versionPriority"]).unwrap_or(0),
            namespace: spec.str_at(&["service", "namespace"]).into(),
            service: spec.str_at(&["service", "name"]).into(),
            port: port(spec),
            client,
            spec: spec.clone(),
            available: AtomicBool::new(is_available(service)),
            documents: RwLock::default(),
        }
    }

    /// Whether this is what an APIService says.
    pub(super) fn is_of(&self, service: &Value) -> bool {
        self.name == service.name() && self.spec == service["spec"]
    }

    /// `/apis/metrics.k8s.io/v1beta1`
    pub(crate) fn root(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// Whether requests go there now.
    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    pub(super) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Release);
    }

    pub(crate) fn documents(&self) -> Documents {
        self.documents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_documents(&self, documents: Documents) {
        *self.documents.write().unwrap_or_else(PoisonError::into_inner) = documents;
    }
}

fn is_available(service: &Value) -> bool {
    let mut conditions = service.list_at(&["status", "conditions"]).iter();
    conditions.any(|condition| condition["type"] == "Available" && condition["status"] == "True")
}

fn port(spec: &Value) -> u16 {
    let port = spec.i64_at(&["service", "port"]).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0).unwrap_or(HTTPS_PORT)
}

fn target(spec: &Value, identity: Option<Identity>) -> Result<Target, String> {
    let (namespace, name) =
        (spec.str_at(&["service", "namespace"]), spec.str_at(&["service", "name"]));
    let authorities = STANDARD.decode(spec.str_at(&["caBundle"])).map_err(|e| e.to_string())?;
    let server_name = format!("{name}.{namespace}.svc");
    let port = port(spec);
    Ok(Target {
        place: Place::Service { namespace: namespace.into(), name: name.into(), port },
        origin: format!("https://{server_name}:{port}"),
        path: String::new(),
        server_name,
        authorities,
        insecure: spec.bool_at(&["insecureSkipTLSVerify"]),
        identity,
        bearer_token: String::new(),
    })
}
