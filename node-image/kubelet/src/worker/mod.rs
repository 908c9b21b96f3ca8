//! One worker per pod: wakes on events and at its own times, looks, decides, acts, tells.

mod collect;
mod files;
mod observe;
mod resize;
mod sandbox;
mod start;
mod stop;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{admit, checked_app_armor};
use crate::entry::PodEntry;
use crate::events::EventType;
use crate::eviction::admit_under_pressure;
use crate::kubelet::Kubelet;
use crate::lifecycle::backoff::{later, since};
use crate::lifecycle::status::{is_owned_condition, pod_status};
use crate::lifecycle::{
    Memory, Observation, Outcome, Plan, ProbeKind, Stop, Waiting, backoff_key, deadline, decide,
    is_running,
};
use crate::pod::PodExt;
use crate::probes::{ProbeContext, Probed, Probers};
use crate::shutdown::admit_at_end;
use crate::static_pods::is_static;
use crate::status_sender::StatusSender;
use crate::volumes::PodVolumes;

pub(crate) use stop::{remove_old, remove_orphan};

/// What tasks of a worker tell it.
enum News {
    /// A sandbox is there, on the network.
    Sandbox { id: String, addresses: Vec<std::net::IpAddr> },
    /// No sandbox could be made.
    NoSandbox(Waiting),
    /// All volumes were made.
    Mounted { renew_at: Option<Timestamp> },
    /// A container could not be started.
    Waiting { name: String, waiting: Waiting },
    /// A container runs; with `hook` its postStart hook does too.
    Started { name: String, id: String, hook: bool },
    /// Its postStart hook returned.
    HookReturned { id: String },
    /// The tries of one plan are over.
    StartOver,
    /// A container was stopped, or could not be.
    Stopped { id: String },
    /// Every container of the pod was stopped.
    AllStopped,
    /// Nothing is left of the pod but its records and logs.
    CleanedUp,
    /// Collecting is over.
    Collected,
    /// The limits of running containers were changed, or could not be.
    Resized { result: Result<(), String> },
}

/// Where a pod is in its life, seen from its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is to run.
    Active,
    /// Its containers are being stopped.
    Stopping,
    /// Its network and volumes are being taken away.
    CleaningUp,
    /// Nothing will run again.
    Ended,
}

/// What happens after a step.
enum After {
    /// Wait for events, at most until then.
    Wait(Option<Timestamp>),
    /// The pod is no more.
    Gone,
}

/// How long an observation that failed is left alone.
const OBSERVE_RETRY: Duration = Duration::from_secs(1);
/// How often a volume that could not be refreshed is tried again.
const REFRESH_RETRY: Duration = Duration::from_secs(10);

pub(crate) struct Worker {
    kubelet: Arc<Kubelet>,
    entry: Arc<PodEntry>,
    memory: Memory,
    stage: Stage,
    sender: StatusSender,
    probers: Probers,
    probes: ProbeContext,
    probed: mpsc::UnboundedReceiver<Probed>,
    tell: mpsc::UnboundedSender<News>,
    news: mpsc::UnboundedReceiver<News>,
    volumes: Arc<Mutex<PodVolumes>>,
    mounted: bool,
    /// How often in a row they could not be made.
    mount_failures: u32,
    /// When a token is to be renewed.
    refresh_at: Option<Timestamp>,
    /// A source of the volumes may have changed.
    refresh_due: bool,
    /// Cancels the tries of the plan that is being carried out.
    starting: Option<CancellationToken>,
    /// By when everything must have stopped; shortened by a second delete.
    stop_by: Option<watch::Sender<Instant>>,
    collecting: bool,
    /// Messages of ended containers, read once.
    messages: std::collections::HashMap<String, String>,
    admitted: bool,
    /// The limits of running containers are being changed.
    resizing: bool,
    /// When a change that failed is tried again.
    resize_at: Option<Timestamp>,
}

impl Worker {
    /// A worker for an entry.
    pub(crate) fn new(kubelet: Arc<Kubelet>, entry: Arc<PodEntry>) -> Worker {
        let pod = entry.pod();
        let (tell, news) = mpsc::unbounded_channel();
        let (results, probed) = mpsc::unbounded_channel();
        let sender = StatusSender::start(kubelet.client().clone(), &pod, is_static(&pod));
        let status = PodExt::status(pod.as_ref()).clone();
        // A pod that was refused by an earlier kubelet has no containers to tell of.
        let rejected = pod.is_terminal() && status.container_statuses.is_none();
        let memory = Memory { status, rejected, seen_at: Timestamp::now(), ..Memory::default() };
        let probes = ProbeContext {
            runtime: Arc::clone(kubelet.runtime()),
            events: Arc::clone(kubelet.events()),
            counts: kubelet.probe_counts().clone(),
            results,
        };
        Worker {
            // What runs already was admitted before.
            admitted: !entry.sandboxes().is_empty(),
            kubelet,
            entry,
            memory,
            stage: Stage::Active,
            sender,
            probers: Probers::default(),
            probes,
            probed,
            tell,
            news,
            volumes: Arc::default(),
            mounted: false,
            mount_failures: 0,
            refresh_at: None,
            refresh_due: false,
            starting: None,
            stop_by: None,
            collecting: false,
            messages: Default::default(),
            resizing: false,
            resize_at: None,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let wake_at = match self.step().await {
                After::Gone => return,
                After::Wait(at) => at,
            };
            let delay = wake_at.map(|at| since(Timestamp::now(), at));
            tokio::select! {
                () = self.kubelet.over().cancelled() => return,
                () = self.entry.woken() => {}
                Some(news) = self.news.recv() => self.hear(news),
                Some(probed) = self.probed.recv() => self.hear_probe(probed),
                () = asleep(delay) => {}
            }
            // Everything that is known already counts for the next decision.
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
            while let Ok(probed) = self.probed.try_recv() {
                self.hear_probe(probed);
            }
        }
    }

    async fn step(&mut self) -> After {
        let now = Timestamp::now();
        if self.stage == Stage::Active {
            self.allocate();
        }
        let pod = self.entry.granted_pod();
        let seen = match self.observe().await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(pod = pod.described(), %error, "cannot observe the pod");
                return After::Wait(Some(later(now, OBSERVE_RETRY)));
            }
        };
        if self.stage == Stage::Ended && self.entry.is_removed() {
            self.forget(&seen).await;
            return After::Gone;
        }
        if self.entry.take_input_changed() {
            self.refresh_due = true;
            self.retry_inputs();
        }
        let mut wake_at = None;
        if self.stage == Stage::Active {
            wake_at = self.step_active(&pod, &seen, now).await;
        } else {
            self.step_ending(&pod);
        }
        self.watch_probes(&pod, &seen);
        self.tell_status(&pod, &seen, now);
        self.collect(&seen);
        After::Wait(wake_at)
    }

    /// A pod that is to run, unless it turns out otherwise.
    async fn step_active(
        &mut self,
        pod: &Arc<Pod>,
        seen: &Observation,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let ending = pod.deleted_at().is_some() || self.entry.is_removed() || pod.is_terminal();
        if ending {
            self.stop_all(pod, seen);
            return None;
        }
        if !self.admitted {
            self.admit(pod).await;
        }
        let deadline = deadline(pod, &self.memory);
        if deadline.is_some_and(|at| at <= now) && self.memory.stop.is_none() {
            let message = "Pod was active on the node longer than the specified deadline";
            self.kubelet.events().pod(pod, EventType::Normal, "DeadlineExceeded", message);
            self.memory.stop = Some(Stop::of("DeadlineExceeded", message));
        }
        if let Some(stop) = self.entry.stop_reason().filter(|_| self.memory.stop.is_none()) {
            self.memory.stop = Some(stop);
        }
        if self.memory.stop.is_some() {
            self.stop_all(pod, seen);
            return None;
        }
        let plan = decide(pod, seen, &self.memory, now);
        let plan_wakes = plan.wake_at;
        if plan.finished && self.starting.is_none() {
            self.stop_all(pod, seen);
            return None;
        }
        self.carry_out(pod, seen, plan, now);
        let resize = self.resize_running(pod, seen, now);
        let refresh = self.refresh(pod, now).await;
        [plan_wakes, deadline, refresh, resize].into_iter().flatten().min()
    }

    fn step_ending(&mut self, pod: &Pod) {
        if let Some(stop_by) = &self.stop_by
            && pod.deleted_at().is_some()
        {
            // A second delete may be more urgent than the first.
            let wanted = Instant::now() + pod.grace();
            stop_by.send_if_modified(|by| {
                let sooner = wanted + Duration::from_millis(500) < *by;
                if sooner {
                    *by = wanted;
                }
                sooner
            });
        }
    }

    async fn admit(&mut self, pod: &Pod) {
        self.admitted = true;
        let others: Vec<Arc<Pod>> = self.kubelet.admitted_besides(pod.uid());
        let others: Vec<&Pod> = others.iter().map(Arc::as_ref).collect();
        let node = self.kubelet.node().await;
        let allocatable = self.kubelet.machine().allocatable();
        let config = self.kubelet.config();
        let pressures = self.kubelet.pressures();
        let fits = || admit(pod, &others, &node, allocatable, config);
        let app_armor = || checked_app_armor(pod, self.kubelet.machine().has_app_armor());
        let admitted = admit_at_end(&self.kubelet).and(admit_under_pressure(pod, &pressures));
        let mut admitted = admitted.and_then(|()| app_armor()).and_then(|()| fits());
        if admitted.is_ok() {
            admitted = self.kubelet.devices().allocate(pod).await.map_err(|error| {
                let message = format!("Allocate failed due to {error}, which is unexpected");
                Stop::of("UnexpectedAdmissionError", message)
            });
        }
        let Err(stop) = admitted else {
            self.entry.set_admitted();
            self.kubelet.share_out();
            return;
        };
        self.kubelet.events().pod(pod, EventType::Warning, &stop.reason, stop.message.clone());
        let message = format!("Pod was rejected: {}", stop.message);
        self.memory.stop = Some(Stop { message, ..stop });
        self.memory.rejected = true;
    }

    fn carry_out(&mut self, pod: &Arc<Pod>, seen: &Observation, plan: Plan, now: Timestamp) {
        for held in plan.held {
            let known = self.memory.waiting.insert(held.name.clone(), held.waiting.clone());
            if known.as_ref() != Some(&held.waiting)
                && let Some(member) = pod.member(&held.name)
            {
                let message = format!(
                    "Back-off restarting failed container {} in pod {}",
                    held.name,
                    pod.described()
                );
                self.kubelet.events().container(
                    pod,
                    &member,
                    EventType::Warning,
                    "BackOff",
                    message,
                );
            }
        }
        for kill in plan.kill {
            self.memory.stopping.insert(kill.id.clone());
            self.stop_one(pod, kill);
        }
        let idle = plan.sandbox.is_none() && plan.start.is_empty();
        if idle || self.starting.is_some() {
            return;
        }
        for start in &plan.start {
            self.count_restart(pod, seen, &start.name, now);
            self.memory.starting.insert(start.name.clone());
        }
        self.start(pod, seen, plan.sandbox, plan.start);
    }

    /// A restart after an exit lengthens the next delay.
    fn count_restart(&mut self, pod: &Pod, seen: &Observation, name: &str, now: Timestamp) {
        let exited = seen.latest(name).and_then(|c| match &c.state {
            kd_runtime::ContainerState::Exited(exit) => Some(exit.finished_at),
            _ => None,
        });
        if let (Some(finished_at), Some(member)) = (exited, pod.member(name)) {
            self.memory.backoff.next(&backoff_key(&member), finished_at, now);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Sandbox { id, addresses } => {
                self.memory.sandbox_waiting = None;
                self.memory.addresses = addresses;
                let mut sandboxes = self.entry.sandboxes();
                sandboxes.push(id);
                self.entry.set_sandboxes(sandboxes);
            }
            News::NoSandbox(waiting) => {
                self.mount_failures += u32::from(waiting.reason == "FailedMount");
                self.memory.sandbox_waiting = Some(waiting);
            }
            News::Mounted { renew_at } => {
                self.mounted = true;
                self.mount_failures = 0;
                self.refresh_at = renew_at;
            }
            News::Waiting { name, waiting } => {
                self.memory.starting.remove(&name);
                self.memory.waiting.insert(name, waiting);
            }
            News::Started { name, id, hook } => {
                self.memory.starting.remove(&name);
                self.memory.waiting.remove(&name);
                if hook {
                    self.memory.hooks.insert(id);
                }
            }
            News::HookReturned { id } => drop(self.memory.hooks.remove(&id)),
            News::StartOver => {
                self.starting = None;
                self.memory.starting.clear();
            }
            News::Stopped { id } => drop(self.memory.stopping.remove(&id)),
            News::AllStopped => self.clean_up(),
            News::CleanedUp => {
                self.stage = Stage::Ended;
                self.entry.set_ended();
                self.kubelet.retry_resizes();
            }
            News::Collected => self.collecting = false,
            News::Resized { result } => self.resized(result),
        }
    }

    fn hear_probe(&mut self, probed: Probed) {
        self.memory.probes.insert((probed.id, probed.kind), probed.outcome);
    }

    /// What failed for something outside of the containers may succeed now; what is held back for
    /// another reason is held again.
    fn retry_inputs(&mut self) {
        let now = Timestamp::now();
        for waiting in self.memory.waiting.values_mut() {
            waiting.retry_at = now;
        }
        if let Some(waiting) = &mut self.memory.sandbox_waiting {
            waiting.retry_at = now;
        }
    }

    fn watch_probes(&mut self, pod: &Arc<Pod>, seen: &Observation) {
        let active = self.stage == Stage::Active;
        let running: HashSet<&str> =
            seen.containers().filter(|c| is_running(&c.state)).map(|c| c.id.as_str()).collect();
        self.memory.probes.retain(|(id, _), _| running.contains(id.as_str()));
        let stopping = &self.memory.stopping;
        self.probers.keep(|(id, kind)| {
            running.contains(id.as_str())
                && (*kind == ProbeKind::Readiness || (active && !stopping.contains(id)))
        });
        if !active {
            return;
        }
        let address = self.address(pod);
        for member in pod.members() {
            let Some(container) = seen.current(member.name()) else { continue };
            if stopping.contains(&container.id) || self.memory.hooks.contains(&container.id) {
                continue;
            }
            let has_startup_probe = member.container.startup_probe.is_some();
            let started = self.memory.started(container, has_startup_probe);
            self.probers.watch(&self.probes, pod, &member, container, &address, started);
        }
    }

    /// The pod's first address as text.
    fn address(&self, pod: &Pod) -> String {
        let own = match pod.on_host_network() {
            true => self.kubelet.config().node_ip(),
            false => self.memory.addresses.first().copied(),
        };
        own.map(|ip| ip.to_string()).unwrap_or_default()
    }

    fn tell_status(&mut self, pod: &Pod, seen: &Observation, now: Timestamp) {
        if self.entry.is_removed() {
            return;
        }
        let node = &self.kubelet.config().node_ips;
        // Conditions of others may have changed since.
        let foreign = |condition: &PodCondition| {
            let reason = condition.reason.as_deref().unwrap_or_default();
            !is_owned_condition(&condition.type_, reason)
        };
        let known = self.memory.status.conditions.take().unwrap_or_default();
        let told = PodExt::status(pod).conditions.clone().unwrap_or_default();
        let mut conditions: Vec<_> = told.into_iter().filter(|c| foreign(c)).collect();
        conditions.extend(known.into_iter().filter(|c| !foreign(c)));
        self.memory.status.conditions = Some(conditions);
        let status = pod_status(pod, seen, &self.memory, node, now);
        self.memory.status = status.clone();
        self.entry.set_status(status.clone());
        self.sender.send(status, self.kubelet.static_pods().mirror_of(pod));
        if self.stage == Stage::Ended && pod.deleted_at().is_some() {
            self.sender.delete();
        }
    }

    /// Takes over what an earlier kubelet left: the address, and without looking again the results
    /// of probes of containers that run on.
    pub(crate) fn adopt(&mut self, sandboxes: Vec<kd_runtime::SandboxStatus>) {
        let newest = sandboxes.last();
        self.memory.addresses = newest.map(|s| self.kubelet.adopt(s)).unwrap_or_default();
        self.kubelet.share_out();
        let seen = Observation { sandboxes, ..Observation::default() };
        // Volumes of what runs on are there; they are to be kept fresh as before.
        self.mounted = seen.runs();
        self.refresh_due = self.mounted;
        let known = self.memory.status.clone();
        let lists = [&known.container_statuses, &known.init_container_statuses];
        for status in lists.into_iter().flatten().flatten() {
            let id = status.container_id.as_deref().unwrap_or_default();
            let id = id.rsplit('/').next().unwrap_or_default().to_owned();
            if !seen.containers().any(|c| c.id == id && is_running(&c.state)) {
                continue;
            }
            if status.started == Some(true) {
                self.memory.probes.insert((id.clone(), ProbeKind::Startup), Outcome::Success);
            }
            if status.ready {
                self.memory.probes.insert((id, ProbeKind::Readiness), Outcome::Success);
            }
        }
    }
}

async fn asleep(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}
