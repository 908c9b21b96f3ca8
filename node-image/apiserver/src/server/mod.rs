//! The API server, wired: what each request uses.

mod error;
mod listen;
mod local;

use std::sync::{Arc, RwLock};

use futures::future::BoxFuture;
use http::Request;
use kd_api::Kinds;
use kd_store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use error::Error;
pub use listen::{ServerTls, TlsError};
pub use local::LocalService;

use crate::admission::{AdmissionConfig, default_plugins};
use crate::aggregation::{Aggregator, Controller};
use crate::answer::{Answer, RequestBody};
use crate::audit::Audit;
use crate::authn::{Issuers, RequestHeader, StaticTokens, UnionAuthenticator};
use crate::authz::UnionAuthorizer;
use crate::component_statuses::Components;
use crate::config::{Clock, Config, Random};
use crate::connect::Connect;
use crate::endpoints::Documents;
use crate::fairness::Fairness;
use crate::metrics::{Metrics, TimedStore};
use crate::pipeline::{self, Peer};
use crate::request::{AdmissionPlugin, UserInfo};
use crate::resource_metrics::Readings;
use crate::storage::{Objects, StoreReader};
use crate::token::ServiceAccountTokens;
use crate::webhook::{Identity, WebhookClients};
use crate::{bootstrap, compaction, custom, event_lifetime, policy_status};

/// An API server.
pub struct ApiServer {
    pub(crate) config: Config,
    pub(crate) objects: Objects,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) authenticator: Arc<UnionAuthenticator>,
    pub(crate) authorizer: Arc<UnionAuthorizer>,
    pub(crate) tokens: Arc<ServiceAccountTokens>,
    pub(crate) audit: Option<Audit>,
    pub(crate) admission: Vec<Box<dyn AdmissionPlugin>>,
    pub(crate) connect: RwLock<Option<Arc<dyn Connect>>>,
    /// What else runs in this process.
    pub(crate) components: Components,
    /// Knows who answers for what.
    pub(crate) aggregator: Arc<Aggregator>,
    /// Calls the webhooks of admission, conversion and others.
    pub(crate) webhooks: Arc<WebhookClients>,
    pub(crate) readings: Readings,
    pub(crate) fairness: Arc<Fairness>,
    pub(crate) metrics: Arc<Metrics>,
    /// When it began.
    pub(crate) started: jiff::Timestamp,
    pub(crate) documents: Documents,
    /// True once the server ends: watches end with it.
    pub(crate) closing: watch::Sender<bool>,
    /// Work in the background; ends with the server.
    tasks: std::sync::Mutex<JoinSet<()>>,
}

impl ApiServer {
    /// Wires a server, writes what a cluster begins with, and starts its background work. Must run
    /// inside a tokio runtime.
    pub async fn build(
        config: Config,
        store: Arc<dyn Store>,
        kinds: Kinds,
        clock: Clock,
        random: Random,
    ) -> Result<Arc<ApiServer>, Error> {
        let metrics = Arc::new(Metrics::default());
        let store = Arc::new(TimedStore::new(store, metrics.clone()));
        let objects = Objects::new(store, kinds);
        let reader = Arc::new(StoreReader::new(objects.clone()));
        let tokens =
            ServiceAccountTokens::new(&config.token_key_pem, reader.clone(), clock.clone());
        let tokens = Arc::new(tokens.map_err(Error::TokenKey)?);
        let audit = config.audit.as_ref().map(Audit::start).transpose().map_err(Error::Audit)?;
        let webhooks = Arc::new(WebhookClients::new(reader.clone()));
        let authenticator = authenticator(&config, tokens.clone(), reader.clone(), &clock)?
            .with_configuration(config.authentication.as_ref(), &webhooks);
        let authorizer = Arc::new(match &config.authorization {
            None => UnionAuthorizer::new(reader.clone()),
            Some(chosen) => UnionAuthorizer::configured(chosen, reader.clone(), &webhooks, &clock),
        });
        let aggregator = Arc::new(Aggregator::new(reader.clone(), own_identity(&config)));
        let of_kinds = objects.clone();
        let admission = default_plugins(&AdmissionConfig {
            reader: reader.clone(),
            authorizer: authorizer.clone(),
            webhooks: webhooks.clone(),
            kinds: Arc::new(move || of_kinds.kinds()),
            random: random.clone(),
        });
        let server = Arc::new(ApiServer {
            fairness: Fairness::new(reader.clone(), config.seats),
            authenticator: Arc::new(authenticator),
            authorizer,
            tokens,
            audit,
            admission,
            webhooks,
            aggregator,
            connect: RwLock::default(),
            components: Components::default(),
            started: clock(),
            metrics,
            documents: Documents::default(),
            readings: Readings::default(),
            closing: watch::Sender::new(false),
            tasks: std::sync::Mutex::default(),
            config,
            objects,
            clock,
            random,
        });
        bootstrap::run(&server).await.map_err(|status| Error::Bootstrap(status.into()))?;
        custom::start(&server).await.map_err(|status| Error::Bootstrap(status.into()))?;
        server.begin();
        Ok(server)
    }

    /// Starts what runs in the background.
    fn begin(&self) {
        let controller = Controller {
            objects: self.objects.clone(),
            aggregator: self.aggregator.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        self.spawn(controller.run());
        for load in self.authenticator.issuers().into_iter().flat_map(Issuers::loaders) {
            self.spawn(load);
        }
        let (objects, clock) = (self.objects.clone(), self.clock.clone());
        self.spawn(event_lifetime::run(objects, clock, self.config.event_lifetime));
        self.spawn(policy_status::run(self.objects.clone()));
        self.spawn(compaction::run(self.objects.store.clone()));
    }

    /// Answers requests in this process as a user, through the whole pipeline; what
    /// `kube::Client::new` takes.
    pub fn service(self: &Arc<Self>, user: UserInfo) -> LocalService {
        LocalService::new(self.clone(), user)
    }

    /// What reads the stored objects from inside.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(self.objects.clone())
    }

    /// What calls webhooks.
    pub fn webhooks(&self) -> &Arc<WebhookClients> {
        &self.webhooks
    }

    /// Sets how exec, attach, port-forward, logs and proxies reach nodes, pods and services. Until
    /// then they answer 503.
    pub fn set_connect(&self, connect: Arc<dyn Connect>) {
        *self.connect.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(connect);
    }

    /// Adds what another component of this process counts, in Prometheus' text format.
    pub fn add_metrics(&self, exposition: Arc<dyn Fn() -> String + Send + Sync>) {
        self.metrics.add(exposition);
    }

    /// Says whether a component (`controller-manager`, `scheduler`) runs in this process, for
    /// `componentstatuses`.
    pub fn add_component(
        &self,
        name: &'static str,
        runs: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let mut components =
            self.components.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        components.insert(name, Arc::new(runs));
    }

    /// Sets the addresses of the service `default/kubernetes`.
    pub async fn advertise(&self, addresses: &[std::net::IpAddr]) -> Result<(), Error> {
        let done = bootstrap::advertise(self, addresses).await;
        done.map_err(|status| Error::Bootstrap(status.into()))
    }

    pub(crate) fn answer(
        self: &Arc<Self>,
        peer: Peer,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Answer> {
        Box::pin(pipeline::run(self.clone(), peer, request))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).spawn(task);
    }
}

/// Everyone who can tell who asks.
fn authenticator(
    config: &Config,
    tokens: Arc<ServiceAccountTokens>,
    reader: Arc<StoreReader>,
    clock: &Clock,
) -> Result<UnionAuthenticator, Error> {
    let static_tokens = StaticTokens::parse(&config.static_tokens).map_err(Error::Tokens)?;
    let front_proxies = config.front_proxy.as_ref();
    let front_proxies = front_proxies
        .map(|proxy| RequestHeader::new(&proxy.ca_certificate_pem, clock.clone()))
        .transpose()
        .map_err(Error::FrontProxy)?;
    let authenticator = UnionAuthenticator::new(tokens, static_tokens, reader, clock.clone());
    Ok(authenticator.with_request_header(front_proxies))
}

/// How this server shows itself to aggregated ones.
fn own_identity(config: &Config) -> Option<Identity> {
    let front_proxy = config.front_proxy.as_ref()?;
    Some(Identity {
        certificate_pem: front_proxy.certificate_pem.clone(),
        key_pem: front_proxy.key_pem.clone(),
    })
}
