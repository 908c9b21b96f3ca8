//! A runtime, images and a network in memory: containers run until a test ends them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use jiff::Timestamp;
use kd_network::{OtherNode, PodLink, PodNetwork};
use kd_runtime::{
    ContainerSpec, ContainerState, ContainerStatus, DiskUse, Error, ExecOutput, ExecSpec, Exit,
    Image, ImageError, Images, RegistryAuth, Resources, Result, RootFileSystem, Runtime,
    RuntimeEvent, SandboxSpec, SandboxStatus, Session, Stats,
};
use tokio::sync::broadcast;

/// The runtime; clones share it.
#[derive(Clone)]
pub struct FakeRuntime {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<String, SandboxStatus>,
    ids: u64,
    /// What commands answer, by their first word.
    commands: HashMap<String, i32>,
    /// Container names that ignore their stop signal.
    stubborn: Vec<String>,
    /// Container names that cannot be started, and why.
    broken: HashMap<String, String>,
    /// Calls that change something, in order.
    calls: Vec<String>,
}

impl Default for FakeRuntime {
    fn default() -> FakeRuntime {
        FakeRuntime { state: Arc::default(), events: broadcast::Sender::new(64) }
    }
}

impl FakeRuntime {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The running container of a name in any pod.
    pub fn running(&self, name: &str) -> Option<ContainerStatus> {
        let state = self.lock();
        let mut all = state.sandboxes.values().flat_map(|s| &s.containers);
        let runs = |c: &&ContainerStatus| {
            c.spec.name == name && matches!(c.state, ContainerState::Running { .. })
        };
        all.find(runs).cloned()
    }

    /// Ends the running container of a name.
    pub fn exit(&self, name: &str, code: i32) {
        let id = self.running(name).expect("runs").id;
        self.end(&id, code, None);
    }

    /// All commands that begin with this word exit with that code from now on.
    pub fn answer(&self, command: &str, code: i32) {
        self.lock().commands.insert(command.into(), code);
    }

    /// Containers of this name have to be killed.
    pub fn make_stubborn(&self, name: &str) {
        self.lock().stubborn.push(name.into());
    }

    /// Containers of this name cannot be started.
    pub fn make_broken(&self, name: &str, why: &str) {
        self.lock().broken.insert(name.into(), why.into());
    }

    /// The node was restarted: everything runs no more.
    pub fn lose_all(&self) {
        let mut state = self.lock();
        for sandbox in state.sandboxes.values_mut() {
            sandbox.ready = false;
            for container in &mut sandbox.containers {
                if let ContainerState::Running { started_at } = container.state {
                    container.state = ContainerState::Exited(exit(Some(started_at), 137, None));
                }
            }
        }
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    fn end(&self, id: &str, code: i32, error: Option<String>) {
        let mut state = self.lock();
        let Some(container) = state.container(id) else { return };
        let started_at = match container.state {
            ContainerState::Running { started_at } => Some(started_at),
            ContainerState::Created => None,
            ContainerState::Exited(_) => return,
        };
        container.state = ContainerState::Exited(exit(started_at, code, error));
        container.pid = None;
        let (sandbox_id, container_id) = (container.sandbox_id.clone(), id.to_owned());
        drop(state);
        let _ = self.events.send(RuntimeEvent::ContainerExited { sandbox_id, container_id });
    }
}

fn exit(started_at: Option<Timestamp>, code: i32, error: Option<String>) -> Exit {
    Exit {
        started_at,
        finished_at: Timestamp::now(),
        code,
        signal: None,
        oom_killed: false,
        lost: false,
        error,
    }
}

impl State {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("{:064x}", self.ids)
    }

    fn container(&mut self, id: &str) -> Option<&mut ContainerStatus> {
        self.sandboxes.values_mut().flat_map(|s| &mut s.containers).find(|c| c.id == id)
    }
}

fn missing(kind: &'static str, id: &str) -> Error {
    Error::NotFound { kind, id: id.to_owned() }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus> {
        let mut state = self.lock();
        let id = state.id();
        state.calls.push(format!("sandbox {}", spec.pod.attempt));
        let netns = (!spec.host_network).then(|| PathBuf::from("/netns").join(&id));
        let made = SandboxStatus {
            id: id.clone(),
            spec,
            ready: true,
            created_at: Timestamp::now(),
            netns,
            containers: Vec::new(),
        };
        state.sandboxes.insert(id, made.clone());
        Ok(made)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let running: Vec<String> = {
            let mut state = self.lock();
            let Some(sandbox) = state.sandboxes.get_mut(id) else { return Ok(()) };
            sandbox.ready = false;
            sandbox.containers.iter().map(|c| c.id.clone()).collect()
        };
        running.iter().for_each(|id| self.end(id, 137, None));
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.stop_sandbox(id).await?;
        let mut state = self.lock();
        state.calls.push("remove sandbox".into());
        state.sandboxes.remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.lock().sandboxes.values().cloned().collect())
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxStatus> {
        self.lock().sandboxes.get(id).cloned().ok_or_else(|| missing("sandbox", id))
    }

    async fn create_container(&self, sandbox_id: &str, spec: ContainerSpec) -> Result<String> {
        let mut state = self.lock();
        let id = state.id();
        state.calls.push(format!("create {}#{}", spec.name, spec.attempt));
        let sandbox =
            state.sandboxes.get_mut(sandbox_id).ok_or_else(|| missing("sandbox", sandbox_id))?;
        let log_path =
            sandbox.spec.log_directory.join(&spec.name).join(format!("{}.log", spec.attempt));
        sandbox.containers.push(ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox_id.to_owned(),
            spec,
            state: ContainerState::Created,
            created_at: Timestamp::now(),
            log_path,
            pid: None,
            user: None,
        });
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let sandbox_id = {
            let mut state = self.lock();
            let name =
                state.container(id).ok_or_else(|| missing("container", id))?.spec.name.clone();
            state.calls.push(format!("start {name}"));
            if let Some(why) = state.broken.get(&name).cloned() {
                drop(state);
                self.end(id, 128, Some(why.clone()));
                return Err(Error::Invalid(why));
            }
            let container = state.container(id).ok_or_else(|| missing("container", id))?;
            container.state = ContainerState::Running { started_at: Timestamp::now() };
            container.pid = Some(1);
            container.sandbox_id.clone()
        };
        let container_id = id.to_owned();
        let _ = self.events.send(RuntimeEvent::ContainerStarted { sandbox_id, container_id });
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let stubborn = {
            let mut state = self.lock();
            let name = match state.container(id) {
                Some(container) => container.spec.name.clone(),
                None => return Ok(()),
            };
            state.calls.push(format!("stop {name} {}s", grace.as_secs_f64().round()));
            state.stubborn.contains(&name)
        };
        if stubborn {
            tokio::time::sleep(grace).await;
        }
        self.end(id, if stubborn { 137 } else { 143 }, None);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        let mut state = self.lock();
        for sandbox in state.sandboxes.values_mut() {
            sandbox.containers.retain(|c| c.id != id);
        }
        Ok(())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus> {
        self.lock().container(id).cloned().ok_or_else(|| missing("container", id))
    }

    async fn update_resources(&self, id: &str, resources: Resources) -> Result<()> {
        let mut state = self.lock();
        let mut all = state.sandboxes.values_mut().flat_map(|s| &mut s.containers);
        if let Some(container) = all.find(|c| c.id == id) {
            container.spec.resources = resources;
        }
        Ok(())
    }

    async fn reopen_log(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    async fn exec_sync(
        &self,
        _id: &str,
        command: Vec<String>,
        _timeout: Option<Duration>,
    ) -> Result<ExecOutput> {
        let mut state = self.lock();
        let word = command.first().cloned().unwrap_or_default();
        state.calls.push(format!("exec {word}"));
        let code = state.commands.get(&word).copied().unwrap_or(0);
        Ok(ExecOutput { code, stdout: b"said so".to_vec(), ..ExecOutput::default() })
    }

    async fn exec(&self, _id: &str, _spec: ExecSpec) -> Result<Session> {
        Err(Error::State("no sessions here".into()))
    }

    async fn attach(&self, _id: &str, _spec: ExecSpec) -> Result<Session> {
        Err(Error::State("no sessions here".into()))
    }

    async fn dial(&self, _sandbox_id: &str, _port: u16) -> Result<tokio::net::TcpStream> {
        Err(Error::State("no connections here".into()))
    }

    async fn container_stats(&self, _id: &str) -> Result<Stats> {
        Ok(Stats::default())
    }

    async fn sandbox_stats(&self, _id: &str) -> Result<Stats> {
        Ok(Stats::default())
    }

    async fn set_group(&self, _group: &str, _resources: Resources) -> Result<()> {
        Ok(())
    }

    async fn group_stats(&self, _group: &str) -> Result<Stats> {
        Ok(Stats::default())
    }

    async fn container_disk(&self, _id: &str) -> Result<DiskUse> {
        Ok(DiskUse::default())
    }

    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<()> {
        let limit = resources.memory_limit_bytes;
        let mut state = self.lock();
        state.calls.push(format!("update {id} {limit:?}"));
        let sandbox = state.sandboxes.get_mut(id).ok_or_else(|| missing("sandbox", id))?;
        sandbox.spec.resources = resources;
        Ok(())
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

/// Knows every image whose name does not begin with `missing`.
pub struct FakeImages;

#[async_trait]
impl Images for FakeImages {
    async fn status(&self, reference: &str) -> Result<Option<Image>> {
        let image = Image { id: "sha256:1".into(), ..Image::default() };
        Ok((!reference.starts_with("missing")).then_some(image))
    }

    async fn list(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }

    async fn pull(&self, reference: &str, _auth: &[RegistryAuth]) -> Result<Image> {
        let (reference, reason) = (reference.to_owned(), "not found".to_owned());
        Err(ImageError::NotFound { reference, reason }.into())
    }

    async fn remove(&self, _reference: &str) -> Result<()> {
        Ok(())
    }

    fn making(&self) -> Arc<tokio::sync::RwLock<()>> {
        Arc::default()
    }

    async fn free(&self, _bytes: u64) -> Result<u64> {
        Ok(0)
    }

    async fn root_file_system(&self, _image_id: &str) -> Result<RootFileSystem> {
        Ok(RootFileSystem::default())
    }
}

/// Remembers who is attached.
#[derive(Default)]
pub struct FakeNetwork {
    /// By pod uid.
    pub attached: Mutex<HashMap<String, Vec<IpAddr>>>,
}

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn attach(&self, pod: &PodLink) -> kd_network::Result<Vec<IpAddr>> {
        self.attached.lock().unwrap().insert(pod.uid.clone(), pod.addresses.clone());
        Ok(pod.addresses.clone())
    }

    async fn detach(&self, pod: &str) -> kd_network::Result<()> {
        self.attached.lock().unwrap().remove(pod);
        Ok(())
    }

    async fn attached(&self) -> kd_network::Result<Vec<(String, Vec<IpAddr>)>> {
        Ok(self.attached.lock().unwrap().clone().into_iter().collect())
    }

    async fn set_nodes(&self, _own: &[IpNet], _others: &[OtherNode]) -> kd_network::Result<()> {
        Ok(())
    }

    async fn set_masquerade(&self, _pods: &[IpNet], _others: &[IpNet]) -> kd_network::Result<()> {
        Ok(())
    }

    async fn set_host_ports(&self, _ports: Vec<kd_network::ServicePort>) -> kd_network::Result<()> {
        Ok(())
    }
}
