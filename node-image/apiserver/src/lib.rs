//! The Kubernetes API server: the request pipeline, authentication, authorization, admission, verbs,
//! subresources, discovery and OpenAPI.

mod request;

pub use request::{
    AdmissionAttributes, AdmissionPlugin, Authenticator, Authorizer, Decision, Operation, Reader,
    RequestInfo, UserInfo,
};
