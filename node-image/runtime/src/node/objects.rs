//! What this process knows of a sandbox and of a container.

use std::io;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::watch;

use super::connection::Connection;
use super::lock;
use crate::interface::{
    ContainerState, ContainerStatus, ContainerUser, Error, Exit, Result, SandboxStatus,
};
use crate::layout::Layout;
use crate::record::{self, ContainerRecord, SandboxRecord, Started};

/// What a process is reported to have ended with that ran when its node stopped.
pub const NODE_LOST_CODE: i32 = 255;

/// A sandbox.
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// As on disk.
    pub record: Mutex<SandboxRecord>,
    /// To its shim, while that lives.
    pub connection: Mutex<Option<Arc<Connection>>>,
    /// In the order of their creation.
    pub containers: Mutex<Vec<Arc<Container>>>,
    /// Stopping, removing and cleaning up after a lost shim happen one at a time.
    pub turn: tokio::sync::Mutex<()>,
}

impl Sandbox {
    /// A sandbox without a shim yet.
    pub fn new(record: SandboxRecord) -> Self {
        Self {
            id: record.id.clone(),
            record: Mutex::new(record),
            connection: Mutex::default(),
            containers: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The connection to the shim, or why there is none.
    pub fn connection(&self) -> Result<Arc<Connection>> {
        lock(&self.connection)
            .clone()
            .ok_or_else(|| Error::State(format!("sandbox {} is not running", self.id)))
    }

    /// For the outside.
    pub fn status(&self, layout: &Layout) -> SandboxStatus {
        let record = lock(&self.record).clone();
        let ready = !record.stopped && lock(&self.connection).is_some();
        let netns = (!record.spec.host_network).then(|| layout.network_namespace(&record.id));
        SandboxStatus {
            id: record.id,
            spec: record.spec,
            ready,
            created_at: record.created_at,
            netns,
            containers: lock(&self.containers).iter().map(|container| container.status()).collect(),
        }
    }

    /// The container's place among the control groups.
    pub fn group(&self, container: &str) -> String {
        format!("{}/{container}", lock(&self.record).spec.cgroup_parent)
    }

    /// Marks it stopped, on disk too.
    pub fn set_stopped(&self, layout: &Layout) -> io::Result<()> {
        let mut record = lock(&self.record);
        record.stopped = true;
        record::write(&layout.sandbox_record(&self.id), &*record)
    }
}

/// What changes in a container's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its state.
    pub state: ContainerState,
    /// Its first process, while running.
    pub pid: Option<i32>,
    /// Who that is.
    pub user: Option<ContainerUser>,
}

/// A container.
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its sandbox.
    pub sandbox_id: String,
    /// As on disk.
    pub record: Mutex<ContainerRecord>,
    /// What changes.
    pub live: watch::Sender<Live>,
}

impl Container {
    /// A container in the state that the disk tells.
    pub fn new(record: ContainerRecord, live: Live) -> Self {
        Self {
            id: record.id.clone(),
            sandbox_id: record.sandbox_id.clone(),
            record: Mutex::new(record),
            live: watch::channel(live).0,
        }
    }

    /// For the outside.
    pub fn status(&self) -> ContainerStatus {
        let record = lock(&self.record).clone();
        let live = self.live.borrow().clone();
        ContainerStatus {
            id: record.id,
            sandbox_id: record.sandbox_id,
            spec: record.spec,
            state: live.state,
            created_at: record.created_at,
            log_path: record.log_path,
            pid: live.pid,
            user: live.user,
        }
    }

    /// True while its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.live.borrow().state, ContainerState::Running { .. })
    }

    /// The process runs.
    pub fn set_started(&self, started: Started) {
        self.live.send_if_modified(|live| {
            if live.state != ContainerState::Created {
                return false;
            }
            *live = Live::running(started);
            true
        });
    }

    /// The process has ended. False when that was known.
    pub fn set_exited(&self, exit: Exit) -> bool {
        self.live.send_if_modified(|live| {
            if matches!(live.state, ContainerState::Exited(_)) {
                return false;
            }
            live.state = ContainerState::Exited(exit);
            live.pid = None;
            true
        })
    }

    /// Waits for the end of its process.
    pub async fn exited(&self) -> Exit {
        let mut receiver = self.live.subscribe();
        loop {
            if let ContainerState::Exited(exit) = &receiver.borrow_and_update().state {
                return exit.clone();
            }
            // The sender lives as long as `self`.
            let _ = receiver.changed().await;
        }
    }

    /// Reads again what the shim has written. True when it tells of an end that was not known.
    pub fn refresh(&self, layout: &Layout) -> io::Result<bool> {
        let live = Live::read(layout, &self.id)?;
        Ok(match live.state {
            ContainerState::Exited(exit) => self.set_exited(exit),
            ContainerState::Running { .. } => {
                self.live.send_if_modified(|known| {
                    let changes = known.state == ContainerState::Created;
                    if changes {
                        *known = live;
                    }
                    changes
                });
                false
            }
            ContainerState::Created => false,
        })
    }

    /// Notes that its process is gone with its shim or node. False when it had not been running,
    /// or its end is known.
    pub fn set_lost(&self, layout: &Layout, code: i32) -> io::Result<bool> {
        if self.refresh(layout)? {
            return Ok(true);
        }
        let ContainerState::Running { started_at } = self.live.borrow().state else {
            return Ok(false);
        };
        let exit = Exit {
            started_at: Some(started_at),
            finished_at: Timestamp::now(),
            code,
            signal: None,
            oom_killed: false,
            lost: code == NODE_LOST_CODE,
            error: None,
        };
        record::write(&layout.container(&self.id).exit(), &exit)?;
        Ok(self.set_exited(exit))
    }
}

impl Live {
    fn running(started: Started) -> Self {
        Self {
            state: ContainerState::Running { started_at: started.at },
            pid: Some(started.pid),
            user: Some(started.user),
        }
    }

    /// What the disk tells.
    pub fn read(layout: &Layout, id: &str) -> io::Result<Self> {
        let files = layout.container(id);
        let started: Option<Started> = record::read(&files.started())?;
        let exit: Option<Exit> = record::read(&files.exit())?;
        Ok(match (started, exit) {
            (started, Some(exit)) => Self {
                state: ContainerState::Exited(exit),
                pid: None,
                user: started.map(|started| started.user),
            },
            (Some(started), None) => Self::running(started),
            (None, None) => Self { state: ContainerState::Created, pid: None, user: None },
        })
    }
}
