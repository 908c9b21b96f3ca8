//! The Kubernetes API server: the request pipeline, authentication, authorization, admission, verbs,
//! subresources, discovery and OpenAPI.

pub mod authz;
mod request;
#[cfg(test)]
mod testing;

pub use request::{
    AdmissionAttributes, AdmissionPlugin, Authenticator, Authorizer, Decision, Operation, Reader,
    RequestInfo, UserInfo,
};
