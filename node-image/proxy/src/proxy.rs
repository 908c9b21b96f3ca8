//! Keeps the kernel's rules equal to the API's Services.

use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Cache, Client, Interest, Resource, Selectors, View};
use kd_network::Services;
use tokio::time::sleep;

use crate::health::{HealthServers, ProxyHealth};
use crate::state::State;

/// After the kernel refused rules: it does not tell when it would take them.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the proxy of a node is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node: String,
    /// The cluster's pod ranges: connections from elsewhere come from outside.
    pub pod_ranges: Vec<IpNet>,
}

/// Programs this network namespace, which is that of the node, until the API's watches end with the
/// process. Rules of an earlier run stay in force until the first complete list is known;
/// established connections are never touched.
pub async fn run(client: Client, config: Config) {
    let own_node = Interest {
        selectors: Selectors {
            fields: format!("metadata.name={}", config.node),
            ..Selectors::default()
        },
        ..Interest::metadata(&Resource::of::<Node>())
    };
    let interests = vec![
        Interest::full(&Resource::of::<Service>()),
        Interest::full(&Resource::of::<EndpointSlice>()),
        own_node,
    ];
    let (cache, mut changes) = Cache::start(client, interests);
    let health = ProxyHealth::default();
    health.serve().await;
    let mut proxy = Proxy {
        state: State::new(config.node),
        services: Services::new(&config.pod_ranges),
        servers: HealthServers::default(),
        health,
        is_behind: false,
    };
    loop {
        tokio::select! {
            batch = changes.next() => match batch {
                Some(batch) => proxy.state.note(&batch),
                None => return,
            },
            () = sleep(RETRY_PAUSE), if proxy.is_behind => {}
        }
        let view = cache.view();
        if view.resources().all(|resource| view.is_synced(resource)) {
            proxy.apply(&view).await;
        }
    }
}

struct Proxy {
    state: State,
    services: Services,
    servers: HealthServers,
    health: ProxyHealth,
    /// The last rules could not be written.
    is_behind: bool,
}

impl Proxy {
    async fn apply(&mut self, view: &View) {
        let written = self.services.update(self.state.refresh(view));
        self.is_behind = written.is_err();
        match written {
            Ok(()) => self.health.updated(),
            Err(error) => tracing::error!(%error, "cannot program services"),
        }
        if let Some(health) = self.state.changed_health() {
            self.servers.set(health).await;
        }
    }
}
