//! Runs every controller: one loop that owns the View, the queue, single flight, back-off, timers
//! and the wait for a plan's own writes. It wakes on changes and on times computed from data only.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kd_client::{
    Cache, Change, Changes, Client, EventApi, Interest, Keep, Recorder, Resource, View, resources,
};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::discovery::{Discovered, deletable_resources};
use crate::perform::{Late, Means, Outcome, Signer, Written, answers, perform};
use crate::workqueue::WorkQueues;
use crate::{Ask, Config, Controller, Failure, Plan, Target};

/// Plans performed at once, over all controllers.
const RUNNING_PLANS_MAX: usize = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How long the View may take to show a plan's own writes before the target is looked at anyway.
const OWN_WRITES_MAX: Duration = Duration::from_secs(30);
/// Plans in a row, each of which wrote something, before the next one has to wait: a controller that
/// never comes to rest must not take the machine with it.
const ROUNDS_MAX: u32 = 20;

/// Makes a client that acts as a user.
pub type Clients = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// The user that reads for all controllers.
pub const READER: &str = "system:kube-controller-manager";

/// All controllers of a cluster.
pub struct Driver {
    controllers: Vec<Hosted>,
    /// What the controllers read, merged.
    interests: Vec<Interest>,
    reader: Client,
    cache: Cache,
    changes: Changes,
    work: HashMap<Job, Progress>,
    ready: VecDeque<Job>,
    timers: BTreeSet<(Instant, Job)>,
    timer_of: HashMap<Job, Instant>,
    running: JoinSet<(Job, Outcome)>,
    discovering: JoinSet<Option<Discovered>>,
    /// What discovery listed; the View may not hold all of it yet.
    discovered: Option<Discovered>,
    discover_again: bool,
    /// Resources whose first list was told.
    listed: BTreeSet<Arc<Resource>>,
    failures: HashMap<Job, u32>,
    rounds: HashMap<Job, u32>,
    /// What plans remember for the next one about their target.
    memories: HashMap<Job, Value>,
    queues: Arc<WorkQueues>,
}

#[derive(Clone)]
struct Hosted {
    controller: Arc<dyn Controller>,
    interests: Arc<[Interest]>,
    means: Means,
    started: bool,
}

/// A controller (by place in the list) and its target.
type Job = (usize, Target);

/// Where a job is; a job that is not in the map is idle.
enum Progress {
    Queued { since: Instant },
    Running { since: Instant, dirty: bool },
    Settling { written: Vec<Written>, deadline: Instant, dirty: bool },
}

impl Driver {
    /// A driver of all controllers. `clients` makes a client for a user name. Needs a tokio runtime.
    pub fn new(clients: Clients, config: &Config) -> Driver {
        Driver::of(crate::controllers(config), clients)
    }

    /// A driver of some controllers.
    pub fn of(controllers: Vec<Box<dyn Controller>>, clients: Clients) -> Driver {
        let mut interests: Vec<Interest> = Vec::new();
        let mut hosted = Vec::new();
        for controller in controllers {
            let controller: Arc<dyn Controller> = controller.into();
            merge_interests(&mut interests, controller.interests());
            let client = Client::from(clients(&controller.user()));
            let recorder = Recorder::start(client.clone(), EventApi::Core, controller.name(), "");
            let interests = controller.interests().into();
            let means = Means { client, recorder, signer: None };
            hosted.push(Hosted { controller, interests, means, started: false });
        }
        let queues = WorkQueues::of(hosted.iter().map(|hosted| hosted.controller.name()));
        let reader = Client::from(clients(READER));
        let (cache, changes) = Cache::start(reader.clone(), interests.clone());
        Driver {
            controllers: hosted,
            interests,
            reader,
            cache,
            changes,
            work: HashMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
            running: JoinSet::new(),
            discovering: JoinSet::new(),
            discovered: None,
            discover_again: false,
            listed: BTreeSet::new(),
            failures: HashMap::new(),
            rounds: HashMap::new(),
            memories: HashMap::new(),
            queues: Arc::new(queues),
        }
    }

    /// What it counts, for whoever shows it.
    pub fn queues(&self) -> Arc<WorkQueues> {
        self.queues.clone()
    }

    /// Signs the certificates that plans ask for.
    pub fn signing(mut self, signer: Signer) -> Driver {
        for hosted in &mut self.controllers {
            hosted.means.signer = Some(signer.clone());
        }
        self
    }

    /// Runs until `shutdown` completes. Plans under way are dropped: every step stands alone.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        self.discover();
        loop {
            self.dispatch();
            let timer = self.timers.first().map(|(at, _)| *at);
            let alarm = async {
                match timer {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                changes = self.changes.next() => match changes {
                    Some(changes) => self.changed(&changes),
                    None => return,
                },
                Some(done) = self.running.join_next() => match done {
                    Ok((job, outcome)) => self.performed(job, outcome),
                    Err(error) => tracing::error!(%error, "a plan ended abnormally"),
                },
                Some(found) = self.discovering.join_next() => self.found(found.ok().flatten()),
                () = alarm => self.ring(Instant::now()),
            }
        }
    }

    /// Starts as many ready jobs as there is room for.
    fn dispatch(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let view = self.cache.view();
        self.start_controllers(&view);
        let mut held = VecDeque::new();
        while self.running.len() < RUNNING_PLANS_MAX {
            let Some(job) = self.ready.pop_front() else { break };
            if self.controllers[job.0].started {
                self.decide(&view, job);
            } else {
                held.push_back(job);
            }
        }
        held.append(&mut self.ready);
        self.ready = held;
    }

    fn start_controllers(&mut self, view: &View) {
        let found = self.discovered.as_ref();
        let everything = found.is_some_and(|f| f.resources.iter().all(|r| view.is_synced(r)));
        let settled = |interest: &Interest| {
            let resource = &interest.resource;
            view.is_synced(resource) || found.is_some_and(|f| f.lacks(resource))
        };
        for hosted in self.controllers.iter_mut().filter(|h| !h.started) {
            let known = hosted.interests.iter().all(settled);
            hosted.started = known && (everything || !hosted.controller.reads_everything());
        }
    }

    /// Reconciles one target and starts what the plan asks for.
    fn decide(&mut self, view: &Arc<View>, job: Job) {
        let hosted = self.controllers[job.0].clone();
        let now = Timestamp::now();
        let since = Instant::now();
        if let Some(Progress::Queued { since }) = self.work.get(&job) {
            self.queues.begun(job.0, since.elapsed());
        }
        let memory = self.memories.get(&job).cloned().unwrap_or_default();
        match hosted.controller.ask(view, &job.1, now, &memory) {
            Ask::Nothing => {}
            Ask::Later(time) => {
                self.queues.ended(job.0, since.elapsed());
                self.work.remove(&job);
                return self.set_timer(&job, Some(instant_of(time, now)));
            }
            ask => return self.ask(view, job, hosted, ask, memory),
        }
        self.memories.remove(&job);
        let plan = hosted.controller.reconcile(view, &job.1, now);
        for occurrence in &plan.events {
            hosted.means.recorder.record(occurrence.clone(), now);
        }
        self.set_timer(&job, plan.again.map(|time| instant_of(time, now)));
        if plan.is_empty() {
            self.queues.ended(job.0, since.elapsed());
            self.work.remove(&job);
            self.failures.remove(&job);
            self.rounds.remove(&job);
            return;
        }
        tracing::debug!(
            controller = hosted.controller.name(),
            target = %job.1.key,
            resource = %job.1.resource.plural,
            steps = plan.steps().count(),
            "plan"
        );
        self.work.insert(job.clone(), Progress::Running { since: Instant::now(), dirty: false });
        let view = view.clone();
        self.running.spawn(async move {
            let Hosted { controller, means, .. } = hosted;
            let mut outcome = perform(&means, plan).await;
            if let Some(failure) = outcome.failure.clone() {
                let more: Plan = controller.failed(&view, &job.1, Timestamp::now(), &failure);
                let after = perform(&means, more).await;
                outcome.written.extend(after.written);
            }
            (job, outcome)
        });
    }

    /// Asks, decides on the answers, and performs the plan.
    fn ask(&mut self, view: &Arc<View>, job: Job, hosted: Hosted, ask: Ask, memory: Value) {
        self.work.insert(job.clone(), Progress::Running { since: Instant::now(), dirty: false });
        let view = view.clone();
        self.running.spawn(async move {
            let Hosted { controller, means, .. } = hosted;
            let answers = answers(&means.client, ask, memory).await;
            let now = Timestamp::now();
            let plan = controller.decide(&view, &job.1, now, &answers);
            for occurrence in &plan.events {
                means.recorder.record(occurrence.clone(), now);
            }
            let late = Late { again: plan.again, remember: plan.remember.clone() };
            let mut outcome = perform(&means, plan).await;
            outcome.late = Some(late);
            (job, outcome)
        });
    }

    fn performed(&mut self, job: Job, mut outcome: Outcome) {
        if let Some(late) = outcome.late.take() {
            let now = Timestamp::now();
            self.set_timer(&job, late.again.map(|time| instant_of(time, now)));
            if let Some(memory) = late.remember {
                self.memories.insert(job.clone(), memory);
            }
            if outcome.written.is_empty() {
                self.rounds.remove(&job);
            }
        }
        let mut dirty = false;
        if let Some(Progress::Running { since, dirty: changed }) = self.work.get(&job) {
            self.queues.ended(job.0, since.elapsed());
            dirty = *changed;
        }
        let rounds = self.rounds.entry(job.clone()).or_insert(0);
        *rounds += 1;
        let restless = *rounds > ROUNDS_MAX;
        if outcome.retry || restless || outcome.failure.is_some() {
            self.back_off(&job, outcome.failure.as_ref());
        } else {
            self.failures.remove(&job);
        }
        if outcome.written.is_empty() && !dirty {
            self.work.remove(&job);
            return;
        }
        let view = self.cache.view();
        let written: Vec<Written> =
            outcome.written.into_iter().filter(|w| !w.is_in(&view)).collect();
        if written.is_empty() {
            return self.settled(job);
        }
        let deadline = Instant::now() + OWN_WRITES_MAX;
        self.set_earlier_timer(&job, deadline);
        self.work.insert(job, Progress::Settling { written, deadline, dirty });
    }

    fn back_off(&mut self, job: &Job, failure: Option<&Failure>) {
        let failures = self.failures.entry(job.clone()).or_insert(0);
        let wait = BACKOFF_MIN.saturating_mul(1 << (*failures).min(20)).min(BACKOFF_MAX);
        *failures += 1;
        self.queues.retried(job.0);
        if let Some(failure) = failure {
            let controller = self.controllers[job.0].controller.name();
            let why = &failure.message;
            tracing::info!(controller, target = %job.1.key, why, "a step failed, will try again");
        }
        self.set_earlier_timer(job, Instant::now() + wait);
    }

    /// The View shows what the job wrote: it is looked at once more, which is how it ends.
    fn settled(&mut self, job: Job) {
        let backing_off = self.failures.contains_key(&job);
        self.work.remove(&job);
        if !backing_off {
            self.enqueue(job);
        }
    }

    fn changed(&mut self, changes: &[Change]) {
        let view = self.cache.view();
        for change in changes {
            // Of a resource itself it is told once that it is there.
            let is_new = !change.is_progress()
                || (view.is_synced(&change.resource)
                    && self.listed.insert(change.resource.clone()));
            if !is_new {
                continue;
            }
            self.wake(&view, change);
            if change.resource.same(&resources::CUSTOM_RESOURCE_DEFINITIONS)
                || change.resource.same(&resources::API_SERVICES)
            {
                self.discover();
            }
        }
        self.settle(&view);
    }

    fn wake(&mut self, view: &View, change: &Change) {
        for index in 0..self.controllers.len() {
            let hosted = &self.controllers[index];
            // Who has not started looks at every object anyway.
            let interested = match change.is_progress() {
                true => hosted.started && hosted.controller.reads_everything(),
                false => {
                    hosted.controller.reads_everything()
                        || hosted.interests.iter().any(|i| i.resource.same(&change.resource))
                }
            };
            if !interested {
                continue;
            }
            for target in hosted.controller.targets(view, change) {
                self.enqueue((index, target));
            }
        }
    }

    fn settle(&mut self, view: &View) {
        let mut settled = Vec::new();
        for (job, progress) in &mut self.work {
            let Progress::Settling { written, .. } = progress else { continue };
            written.retain(|w| !w.is_in(view));
            if written.is_empty() {
                settled.push(job.clone());
            }
        }
        for job in settled {
            self.settled(job);
        }
    }

    fn enqueue(&mut self, job: Job) {
        match self.work.get_mut(&job) {
            Some(Progress::Queued { .. }) => {}
            Some(Progress::Running { dirty, .. } | Progress::Settling { dirty, .. }) => {
                *dirty = true;
            }
            None => {
                self.queues.added(job.0);
                self.work.insert(job.clone(), Progress::Queued { since: Instant::now() });
                self.ready.push_back(job);
            }
        }
    }

    fn ring(&mut self, now: Instant) {
        while let Some((at, job)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.set_timer(&job, None);
            if let Some(Progress::Settling { deadline, .. }) = self.work.get(&job) {
                if *deadline <= now {
                    tracing::warn!(target = %job.1.key, "the View lacks a write of ours");
                    self.work.remove(&job);
                } else {
                    let deadline = *deadline;
                    self.set_timer(&job, Some(deadline));
                }
            }
            self.enqueue(job);
        }
    }

    fn set_timer(&mut self, job: &Job, at: Option<Instant>) {
        if let Some(before) = self.timer_of.remove(job) {
            self.timers.remove(&(before, job.clone()));
        }
        if let Some(at) = at {
            self.timer_of.insert(job.clone(), at);
            self.timers.insert((at, job.clone()));
        }
    }

    fn set_earlier_timer(&mut self, job: &Job, at: Instant) {
        if self.timer_of.get(job).is_none_or(|planned| *planned > at) {
            self.set_timer(job, Some(at));
        }
    }

    /// Asks which resources are served; one question at a time, and once more after a change.
    fn discover(&mut self) {
        if !self.discovering.is_empty() {
            self.discover_again = true;
            return;
        }
        let client = self.reader.clone();
        self.discovering.spawn(async move { deletable_resources(&client).await });
    }

    fn found(&mut self, found: Option<Discovered>) {
        if std::mem::take(&mut self.discover_again) {
            self.discover();
        }
        let Some(found) = found else { return };
        let view = self.cache.view();
        for resource in view.resources().filter(|resource| found.lacks(resource)) {
            self.listed.remove(resource);
            self.cache.remove(Resource::clone(resource));
        }
        for resource in found.resources.iter().filter(|resource| !view.has(resource)) {
            let own = self.interests.iter().find(|interest| interest.resource.same(resource));
            self.cache.add(own.cloned().unwrap_or_else(|| Interest::metadata(resource)));
        }
        self.discovered = Some(found);
    }
}

/// The interest that keeps most wins: everything, then what a rule says, then metadata.
fn merge_interests(all: &mut Vec<Interest>, more: Vec<Interest>) {
    let kept = |interest: &Interest| match interest.keep {
        Keep::Full | Keep::Once => 2,
        Keep::Only(_) => 1,
        Keep::Metadata => 0,
    };
    for interest in more {
        match all.iter_mut().find(|i| i.resource.same(&interest.resource)) {
            None => all.push(interest),
            Some(known) if kept(known) < kept(&interest) => *known = interest,
            Some(_) => {}
        }
    }
}

fn instant_of(time: Timestamp, now: Timestamp) -> Instant {
    let wait = time.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
    // One millisecond late rather than early: a plan made a moment too soon would only ask again.
    Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0) + 1)
}
