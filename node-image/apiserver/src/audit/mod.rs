//! The audit log: who asked what, and what came of it
//! (<https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>).

mod log;
mod policy;
mod record;
mod response;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use kd_api::Status;

pub use policy::AuditPolicy;
pub(crate) use policy::{Level, Stage};
pub(crate) use record::Record;
pub(crate) use response::{answered, unauthenticated};

use crate::pipeline::Exchange;
use log::Log;

/// What is logged, and where.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// What is logged.
    pub policy: AuditPolicy,
    /// The file; older ones are beside it.
    pub log: PathBuf,
}

/// The audit of a server.
pub(crate) struct Audit {
    policy: AuditPolicy,
    log: Arc<Log>,
}

impl Audit {
    pub(crate) fn start(config: &AuditConfig) -> std::io::Result<Audit> {
        let log = Arc::new(Log::open(&config.log)?);
        Ok(Audit { policy: config.policy.clone(), log })
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The record of a request, once it is known who asks; None for what is not logged.
    pub(crate) fn begin(&self, exchange: &Exchange) -> Option<Arc<Record>> {
        let choice = self.policy.choose(&exchange.user, &exchange.info);
        if choice.level == Level::None {
            return None;
        }
        Some(Arc::new(Record::new(choice, self.log.clone(), exchange)))
    }
}

/// The stage of the pipeline.
pub(crate) async fn begin(exchange: &mut Exchange) -> Result<(), Status> {
    let server = exchange.server.clone();
    let Some(audit) = &server.audit else { return Ok(()) };
    exchange.audit = audit.begin(exchange);
    if let Some(record) = &exchange.audit {
        record.tell(Stage::RequestReceived, (server.clock)()).await;
    }
    Ok(())
}
