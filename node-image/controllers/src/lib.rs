//! The controllers, each a pure function of a View, and the driver that runs them. A controller is
//! one file under `controllers/` and one line in its list.

mod backends;
mod certificates;
mod claims;
mod config;
mod controller;
mod controllers;
mod discovery;
mod driver;
mod history;
mod perform;
mod plan;
mod pods;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
mod workqueue;

pub use config::{Config, SimulatedNodes};
pub use controller::{Answers, Ask, Controller, Failure};
pub use controllers::controllers;
pub use driver::{Clients, Driver, READER};
pub use perform::Signer;
pub use plan::{Action, CertificateOrder, Guard, Plan, Step, Target, event};
pub use workqueue::WorkQueues;
