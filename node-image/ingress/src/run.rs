//! Follows the API: from objects to the table that is served, and to the statuses that are written.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kd_client::{
    Cache, Change, Client, DeleteOptions, Interest, Keep, Key, PatchKind, Resource, Selectors,
    View, resources,
};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backends::service_of;
use crate::certificates::{Certificates, certified};
use crate::compile::{Compiled, Write, WriteKind, compile};
use crate::gateway;
use crate::ingresses::{ingress_classes, ingresses};
use crate::names::Names;
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::server::Listeners;
use crate::{Error, Result, announcement, verify};

/// Who serves: the nodes of control planes.
const SERVING_NODES: &str = "node-role.kubernetes.io/control-plane";
/// Between attempts to write statuses that could not be written.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What the proxy is told.
#[derive(Clone)]
pub struct Config {
    /// The certificate for names that have none, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// The DNS servers that know the names of ExternalName Services.
    pub dns: Vec<IpAddr>,
}

/// Serves until the future is dropped. While there is neither an Ingress nor a Gateway of its own, no
/// port is open, and nothing else is watched.
pub async fn run(client: Client, config: Config) -> Result<()> {
    let default = certified(config.certificate_pem.as_bytes(), config.key_pem.as_bytes());
    let default = Arc::new(default.map_err(Error::Certificate)?);
    let tls = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verify::nothing())
        .with_no_client_auth();
    let proxy = Arc::new(Proxy::new(Pool::new(Arc::new(tls)), Names::new(&config.dns)));
    let (writes, written) = watch::channel(Vec::new());
    let (cache, mut changes) = Cache::start(client.clone(), always_watched());
    let mut follower = Follower {
        cache,
        certificates: Certificates::default(),
        listeners: Listeners::new(proxy.clone(), default),
        last: Compiled::default(),
        refused: BTreeSet::new(),
        writes,
        watched: Vec::new(),
        is_complete: false,
    };
    let following = async {
        while let Some(batch) = changes.next().await {
            follower.follow(&batch).await;
        }
    };
    tokio::select! {
        () = following => {}
        () = write_newest(client, written) => {}
        () = proxy.pool.sweep() => {}
    }
    Ok(())
}

fn always_watched() -> Vec<Interest> {
    let definitions = Interest {
        keep: Keep::Only(|metadata, _| metadata.name.ends_with(gateway::GROUP)),
        ..Interest::full(&Resource::of::<CustomResourceDefinition>())
    };
    vec![Interest::full(&ingresses()), Interest::full(&ingress_classes()), definitions]
}

/// What is watched once there is something to serve.
fn watched_in_use() -> Vec<Interest> {
    let nodes = Selectors { labels: SERVING_NODES.to_owned(), ..Selectors::default() };
    let secrets = Selectors { fields: "type=kubernetes.io/tls".to_owned(), ..Selectors::default() };
    vec![
        Interest::full(&resources::SERVICES),
        Interest::full(&resources::ENDPOINT_SLICES),
        Interest { selectors: secrets, ..Interest::full(&resources::SECRETS) },
        Interest { selectors: nodes, ..Interest::full(&resources::NODES) },
        Interest::metadata(&resources::NAMESPACES),
    ]
}

struct Follower {
    cache: Cache,
    certificates: Certificates,
    listeners: Listeners,
    last: Compiled,
    refused: BTreeSet<u16>,
    writes: watch::Sender<Vec<Write>>,
    /// What is watched for now besides what always is.
    watched: Vec<Resource>,
    /// A table of complete lists is being served.
    is_complete: bool,
}

impl Follower {
    async fn follow(&mut self, batch: &[Change]) {
        let view = self.cache.view();
        if !always_watched().iter().all(|interest| view.is_synced(&interest.resource)) {
            return;
        }
        self.watch_what_is_needed(&view);
        if !self.watched.iter().all(|resource| view.is_synced(resource)) {
            return;
        }
        if self.is_complete && !batch.iter().any(|change| self.concerns(change)) {
            return;
        }
        self.is_complete = true;
        self.last = self.compile(&view);
        let refused = self.listeners.serve(self.last.table.clone()).await;
        if refused != self.refused {
            self.refused = refused;
            let served = std::mem::take(&mut self.last.served);
            self.last = Compiled { served, ..self.compile(&view) };
        }
        self.writes.send_replace(std::mem::take(&mut self.last.writes));
    }

    fn compile(&mut self, view: &View) -> Compiled {
        let served = &self.last.served;
        compile(view, &mut self.certificates, served, &self.refused, Timestamp::now())
    }

    /// Starts and ends watches.
    fn watch_what_is_needed(&mut self, view: &View) {
        let mut wanted = gateway::interests(view);
        let has_gateways = view.objects(&gateway::gateways(), None).next().is_some();
        if has_gateways || !crate::ingresses::ours(view).is_empty() {
            wanted.extend(watched_in_use());
        }
        let is_wanted = |resource: &Resource| wanted.iter().any(|i| i.resource == *resource);
        for gone in self.watched.iter().filter(|resource| !is_wanted(resource)) {
            self.cache.remove(gone.clone());
            self.is_complete = false;
        }
        self.watched.retain(|resource| is_wanted(resource));
        for interest in wanted {
            if !self.watched.contains(&interest.resource) {
                self.watched.push(interest.resource.clone());
                self.cache.add(interest);
                self.is_complete = false;
            }
        }
    }

    /// Whether a change may make another table: most Services are in no rule.
    fn concerns(&self, change: &Change) -> bool {
        let asked = |key: Key| self.last.services.contains(&key);
        if change.resource.same(&resources::SERVICES) {
            return change.object().is_some_and(|service| asked(service.key()));
        }
        if change.resource.same(&resources::ENDPOINT_SLICES) {
            let is_ours = change.object().is_some_and(|slice| slice.key() == announcement::key());
            let slices = change.old.iter().chain(&change.new);
            return is_ours || slices.filter_map(|slice| service_of(slice)).any(asked);
        }
        !change.is_progress()
    }
}

/// Writes the newest; what cannot be written is tried again until something newer comes.
async fn write_newest(client: Client, mut wanted: watch::Receiver<Vec<Write>>) {
    let mut left = Vec::new();
    let mut pause = RETRY_MIN;
    loop {
        let is_newer = match left.is_empty() {
            true => wanted.changed().await.is_ok(),
            false => timeout(pause, wanted.changed()).await.is_ok_and(|changed| changed.is_ok()),
        };
        if is_newer {
            left = wanted.borrow_and_update().clone();
            pause = RETRY_MIN;
        } else if left.is_empty() {
            return;
        } else {
            pause = (pause * 2).min(RETRY_MAX);
        }
        left = write(&client, left).await;
    }
}

/// Returns what could not be written.
async fn write(client: &Client, writes: Vec<Write>) -> Vec<Write> {
    let mut left = Vec::new();
    for write in writes {
        let Write { resource, key, change } = &write;
        let (namespace, name) = (&key.namespace, &key.name);
        let done = match change {
            WriteKind::Create(object) => client.create(resource, namespace, object).await.map(drop),
            WriteKind::Patch(patch) => {
                client.patch(resource, namespace, name, "", PatchKind::Merge, patch).await.map(drop)
            }
            WriteKind::Delete => {
                client.delete(resource, namespace, name, &DeleteOptions::default()).await
            }
            WriteKind::Status(patch) => {
                let patched =
                    client.patch(resource, namespace, name, "status", PatchKind::Merge, patch);
                patched.await.map(drop)
            }
        };
        match done {
            Ok(_) => {}
            // The watch tells what is there instead, and what should be then is written.
            Err(e) if e.is_not_found() || e.is_conflict() || e.is_already_exists() => {}
            Err(error) => {
                tracing::warn!(kind = %resource.kind, object = %key, %error, "cannot write");
                left.push(write);
            }
        }
    }
    left
}
