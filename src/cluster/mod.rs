//! Clusters: names and plans (pure), what is there, and everything that changes them.

pub mod access;
pub mod create;
pub mod delete;
pub mod inventory;
pub mod kubeconfig;
pub mod name;
pub mod plan;
pub mod ports;
pub mod readiness;
pub mod start;
pub mod timings;
