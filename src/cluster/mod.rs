//! Clusters: names and plans (pure), what is there, and everything that changes them.

pub mod access;
pub mod addresses;
pub mod agents;
pub mod api_server_files;
pub mod config_file;
pub mod create;
pub mod delete;
pub mod edit;
pub mod host_port;
pub mod image_records;
pub mod inventory;
pub mod kubeconfig;
pub mod logs;
pub mod name;
pub mod node_settings;
pub mod plan;
pub mod port_holder;
pub mod ports;
pub mod readiness;
pub mod registries;
pub mod scheduler_config;
pub mod start;
pub mod timings;
