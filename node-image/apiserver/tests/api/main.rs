//! The API server through its in-process service: what clients see of each verb.

mod bad_input;
mod bootstrap;
mod custom_resources;
mod deletion;
mod discovery;
mod every_kind;
mod forms;
mod fuzz;
mod kinds;
mod lists;
mod owners;
mod policies;
mod random_input;
mod server;
mod services;
mod subresources;
mod watch_checks;
mod watches;
mod writes;
