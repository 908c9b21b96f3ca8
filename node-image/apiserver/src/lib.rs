//! The Kubernetes API server: the request pipeline, authentication, authorization, admission, verbs,
//! subresources, discovery and OpenAPI.

mod config;
mod server;

mod limits;
mod metrics;
mod path;
mod pipeline;
mod query;
mod request;

pub mod admission;
pub mod authn;
pub mod authz;
pub mod token;
pub mod webhook;

mod aggregation;
mod answer;
mod bootstrap;
mod connect;
mod custom;
mod endpoints;
mod event_lifetime;
mod namespace_contents;
mod negotiate;
mod proxy;
mod resource_metrics;
mod service_allocation;
mod storage;
mod subresources;
mod verbs;

#[cfg(test)]
mod testing;

pub use answer::{Answer, AnswerBody, BodyError, BoxError, RequestBody};
pub use config::{Clock, Config, FrontProxy, Random};
pub use connect::{Connect, ConnectRequest};
pub use proxy::{NodeProxy, NodeProxyConfig, NodeProxyError};
pub use request::{
    AdmissionAttributes, AdmissionPlugin, Authenticator, Authorizer, Decision, Operation, Reader,
    Reinvocation, RequestInfo, UserInfo,
};
pub use server::{ApiServer, Error, LocalService, ServerTls, TlsError};
pub use storage::StoreReader;
