//! The Kubernetes API server: the request pipeline, authentication, authorization, admission, verbs,
//! subresources, discovery and OpenAPI.

mod config;
mod configuration;
mod server;

mod metrics;
mod path;
mod pipeline;
mod query;
mod request;

pub mod admission;
mod audit;
pub mod authn;
pub mod authz;
pub mod token;
pub mod webhook;

mod aggregation;
mod answer;
mod bootstrap;
mod compaction;
mod component_statuses;
mod connect;
mod custom;
mod encryption;
mod endpoints;
mod event_lifetime;
mod fairness;
mod namespace_contents;
mod negotiate;
mod policy_status;
mod proxy;
mod resource_metrics;
mod service_allocation;
mod storage;
mod subresources;
mod verbs;

#[cfg(test)]
mod testing;

pub use answer::{Answer, AnswerBody, BodyError, BoxError, RequestBody};
pub use audit::{AuditConfig, AuditPolicy};
pub use authn::{AuthenticationConfiguration, ClientCertificates};
pub use authz::AuthorizationConfiguration;
pub use config::{Clock, Config, FrontProxy, Random};
pub use configuration::ConfigurationError;
pub use connect::{Connect, ConnectRequest};
pub use encryption::Encryption;
pub use proxy::{NodeProxy, NodeProxyConfig, NodeProxyError};
pub use request::{
    AdmissionAttributes, AdmissionPlugin, Authenticator, Authorizer, Decision, Operation, Reader,
    Reinvocation, RequestInfo, UserInfo,
};
pub use server::{ApiServer, Error, LocalService, ServerTls, TlsError};
pub use storage::StoreReader;
