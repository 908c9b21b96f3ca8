//! The Kubernetes API server: the request pipeline, authentication, authorization, admission, verbs,
//! subresources, discovery and OpenAPI.

pub mod admission;
pub mod authn;
pub mod authz;
mod request;
#[cfg(test)]
mod testing;
pub mod token;

pub use request::{
    AdmissionAttributes, AdmissionPlugin, Authenticator, Authorizer, Decision, Operation, Reader,
    RequestInfo, UserInfo,
};
