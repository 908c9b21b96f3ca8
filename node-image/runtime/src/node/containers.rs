//! Creating, starting, stopping and removing containers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::objects::{Container, Live, Sandbox};
use super::{Inner, blocking, lock, new_id};
use crate::interface::{ContainerSpec, ContainerState, Error, Resources, Result, Stats};
use crate::process;
use crate::protocol::Request;
use crate::record::{self, ContainerRecord};

/// How long a killed container may take to be gone: a process that waits for a disk dies late.
const KILL_MAX: Duration = Duration::from_secs(30);

impl Inner {
    pub(super) async fn create_container(
        &self,
        sandbox: &Arc<Sandbox>,
        spec: ContainerSpec,
    ) -> Result<String> {
        if spec.name.is_empty() || spec.name.contains(['/', '\0']) || spec.name.starts_with('.') {
            return Err(Error::Invalid(format!("container name {:?} is no file name", spec.name)));
        }
        sandbox.connection()?;
        // Until the container is known, nobody could tell that its image is used.
        let making = self.images.making();
        let _making = making.read().await;
        let root = self.images.root_file_system(&spec.image_id).await?;
        let sandbox_spec = lock(&sandbox.record).spec.clone();
        let process = process::resolve(&spec, &sandbox_spec, &root.config)?;
        let log_path =
            sandbox_spec.log_directory.join(&spec.name).join(format!("{}.log", spec.attempt));
        let id =
            new_id().map_err(|source| Error::System { operation: "make an id".into(), source })?;
        let record = ContainerRecord {
            id: id.clone(),
            sandbox_id: sandbox.id.clone(),
            spec,
            created_at: Timestamp::now(),
            log_path,
            layers: distinct(root.layers),
            process,
        };
        let (files, stored) = (self.layout.container(&id), record.clone());
        blocking("record the container", move || {
            std::fs::create_dir_all(files.directory())?;
            record::write(&files.record(), &stored)
        })
        .await?;
        let live = Live { state: ContainerState::Created, pid: None, user: None };
        let container = Arc::new(Container::new(record, live));
        lock(&self.containers).insert(id.clone(), container.clone());
        lock(&sandbox.containers).push(container);
        Ok(id)
    }

    pub(super) async fn start_container(&self, container: &Container) -> Result<()> {
        if container.live.borrow().state != ContainerState::Created {
            return Err(Error::State(format!("container {} was started before", container.id)));
        }
        let connection = self.sandbox(&container.sandbox_id)?.connection()?;
        let started = connection.call(Request::Start { container: container.id.clone() }).await;
        if let Err(error) = started {
            // The shim noted the end before it answered: whoever looks now shall find it.
            let refreshed = container.refresh(&self.layout);
            if refreshed
                .inspect_err(|error| tracing::warn!(%error, "read an exit"))
                .unwrap_or(false)
            {
                self.emit_exit(&container.sandbox_id, &container.id);
            }
            return Err(error);
        }
        // The shim told of the start before it answered; that message is on its way.
        let mut live = container.live.subscribe();
        let _ = live.wait_for(|live| live.state != ContainerState::Created).await;
        Ok(())
    }

    pub(super) async fn stop_container(
        &self,
        container: &Container,
        grace: Duration,
    ) -> Result<()> {
        if !container.is_running() {
            return Ok(());
        }
        if !grace.is_zero() {
            let signal = lock(&container.record).process.stop_signal;
            self.signal(container, signal).await?;
            if tokio::time::timeout(grace, container.exited()).await.is_ok() {
                return Ok(());
            }
        }
        self.signal(container, libc::SIGKILL).await?;
        match tokio::time::timeout(KILL_MAX, container.exited()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout {
                operation: format!("kill container {}", container.id),
                after: KILL_MAX,
            }),
        }
    }

    async fn signal(&self, container: &Container, signal: i32) -> Result<()> {
        let request = Request::Signal { container: container.id.clone(), signal };
        let sent = match self.sandbox(&container.sandbox_id)?.connection() {
            Ok(connection) => connection.call(request).await.map(drop),
            Err(error) => Err(error),
        };
        // Without a shim there is no process; its end is being noted.
        if container.is_running() { sent } else { Ok(()) }
    }

    pub(super) async fn remove_container(&self, container: &Container) -> Result<()> {
        if container.is_running() {
            return Err(Error::State(format!("container {} is running", container.id)));
        }
        let sandbox = self.sandbox(&container.sandbox_id)?;
        let (group, files) = (sandbox.group(&container.id), self.layout.container(&container.id));
        let cgroups = self.cgroups.clone();
        blocking(format!("remove container {}", container.id), move || {
            cgroups.kill_and_wait(&group)?;
            cgroups.remove(&group)?;
            remove_files(&files)
        })
        .await?;
        lock(&sandbox.containers).retain(|other| other.id != container.id);
        lock(&self.containers).remove(&container.id);
        Ok(())
    }

    pub(super) async fn update_resources(
        &self,
        container: &Arc<Container>,
        resources: Resources,
    ) -> Result<()> {
        let group = self.sandbox(&container.sandbox_id)?.group(&container.id);
        let (cgroups, layout) = (self.cgroups.clone(), self.layout.clone());
        let container = container.clone();
        blocking(format!("update container {}", container.id), move || {
            if container.is_running() {
                cgroups.update(&group, &resources)?;
            }
            let mut record = lock(&container.record);
            record.spec.resources = resources;
            record::write(&layout.container(&container.id).record(), &*record)
        })
        .await
    }

    pub(super) async fn reopen_log(&self, container: &Container) -> Result<()> {
        let connection = self.sandbox(&container.sandbox_id)?.connection()?;
        connection.call(Request::ReopenLog { container: container.id.clone() }).await.map(drop)
    }

    pub(super) async fn container_stats(&self, container: &Container) -> Result<Stats> {
        if !container.is_running() {
            return Err(Error::State(format!("container {} is not running", container.id)));
        }
        let group = self.sandbox(&container.sandbox_id)?.group(&container.id);
        let cgroups = self.cgroups.clone();
        blocking("read a container's use", move || Ok(cgroups.stats(&group))).await
    }
}

/// overlayfs takes a directory once. Of a layer that an image has twice, only the upper one shows.
fn distinct(layers: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    layers.into_iter().filter(|layer| seen.insert(layer.clone())).collect()
}

/// The record goes first: a directory without one is rubbish to whoever comes next.
pub(super) fn remove_files(files: &crate::layout::ContainerLayout) -> io::Result<()> {
    let absent = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    absent(std::fs::remove_file(files.record()))?;
    absent(std::fs::remove_dir_all(files.directory()))
}
