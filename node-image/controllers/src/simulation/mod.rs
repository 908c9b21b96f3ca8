//! The production controllers against a small API server under a virtual clock: watches that lag
//! each by itself, conflicts, crashes between any two steps, restarts, pods and nodes that die. From
//! one seed, which is printed.

mod actors;
mod cost;
mod objects;
mod rules;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use kd_client::{Object, Resource, resources};
use serde_json::Value;

use self::world::{Refused, World};
use crate::controller::shared;
use crate::{Config, Controller, Plan, Target};

const SEEDS: u64 = 6;
const STEPS: usize = 600;
/// Rounds in which everything has to come to rest once chance ends.
const ROUNDS_MAX: usize = 600;
const NODES: [&str; 3] = ["n0", "n1", "n2"];
/// Controllers, and what they are woken for.
const CONTROLLERS: [(&str, &[&Resource]); 15] = [
    ("cronjob-controller", &[&resources::CRON_JOBS]),
    ("daemonset-controller", &[&resources::DAEMON_SETS]),
    ("deployment-controller", &[&resources::DEPLOYMENTS]),
    ("disruption-controller", &[&resources::POD_DISRUPTION_BUDGETS]),
    ("endpoint-slice-controller", &[&resources::SERVICES]),
    ("garbage-collector-controller", &[]),
    ("job-controller", &[&resources::JOBS, &resources::PODS]),
    ("node-controller", &[&resources::NODES]),
    ("persistentvolumeclaim-protection-controller", &[&resources::PERSISTENT_VOLUME_CLAIMS]),
    ("pod-garbage-collector-controller", &[&resources::PODS]),
    ("replicaset-controller", &[&resources::REPLICA_SETS]),
    ("replication-controller", &[&resources::REPLICATION_CONTROLLERS]),
    ("statefulset-controller", &[&resources::STATEFUL_SETS]),
    ("taint-eviction-controller", &[&resources::PODS]),
    ("ttl-after-finished-controller", &[&resources::JOBS]),
];
/// Those that always have a time to look again.
const NEVER_AT_REST: [&str; 2] = ["cronjob-controller", "node-controller"];

/// A controller (by place in the list) and its target.
type Work = (usize, Target);

struct Simulation {
    world: World,
    controllers: Vec<Box<dyn Controller>>,
    /// What a target's next View has to show: revisions by resource.
    written: BTreeMap<Work, Vec<(Resource, u64)>>,
    /// Pods of Jobs that succeeded and that failed, by uid.
    ended: BTreeMap<String, (String, bool)>,
    /// Pods that StatefulSets and DaemonSets took down and that are not gone yet.
    taken_down: BTreeSet<String>,
    /// Nodes that are silent.
    dead: BTreeSet<&'static str>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut world = World::new(seed);
        for (resource, object) in objects::all() {
            world.create(resource, object).expect("a new object");
        }
        let config = Config::new("10.244.0.0/16".parse().expect("a range"), 24, "");
        let known = |name: &str| CONTROLLERS.iter().any(|(known, _)| *known == name);
        let all = crate::controllers(&config).into_iter();
        let mut simulation = Simulation {
            world,
            controllers: all.filter(|c| known(c.name())).collect(),
            written: BTreeMap::new(),
            ended: BTreeMap::new(),
            taken_down: BTreeSet::new(),
            dead: BTreeSet::new(),
        };
        assert_eq!(simulation.controllers.len(), CONTROLLERS.len());
        simulation.pass(0);
        simulation.world.deliver_all();
        simulation
    }

    /// Everything that a controller may be woken for.
    fn work(&self) -> Vec<Work> {
        let view = self.world.view();
        let mut all = Vec::new();
        for (index, controller) in self.controllers.iter().enumerate() {
            let row = CONTROLLERS.iter().find(|(name, _)| *name == controller.name());
            for resource in row.map_or(&[] as &[&Resource], |row| row.1) {
                let shared = shared(resource);
                let objects = view.objects(resource, None);
                all.extend(objects.map(|object| (index, Target::of(&shared, object))));
            }
            if controller.reads_everything() {
                let everything = view.resources().flat_map(|resource| {
                    view.objects(resource, None).map(move |object| (resource, object))
                });
                let held = everything.filter(|(_, object)| is_garbage_matter(object));
                all.extend(held.map(|(resource, o)| (index, Target::of(resource, o))));
            }
        }
        all
    }

    /// Something happens.
    fn step(&mut self) {
        match self.world.random.below(28) {
            0 => {
                let seconds = self.world.random.below(40);
                self.pass(i64::try_from(seconds).unwrap_or(0));
            }
            1 => self.user(),
            2 if self.world.random.one_in(4) => self.machine(),
            3 if self.world.random.one_in(8) => self.restart(),
            2..9 => self.kubelet(true),
            9..16 => self.world.deliver(),
            _ => {
                let work = self.work();
                let place = self.world.random.below(work.len());
                if let Some(work) = work.into_iter().nth(place) {
                    self.reconcile(work, true);
                }
            }
        }
        self.hold();
    }

    /// The process starts anew: it knows nothing, and sees everything.
    fn restart(&mut self) {
        self.written.clear();
        self.world.deliver_all();
    }

    /// Whether the plan wrote anything.
    fn reconcile(&mut self, work: Work, chance: bool) -> bool {
        let view = if chance { self.world.shown() } else { self.world.view() };
        let written = self.written.get(&work).into_iter().flatten();
        if written.into_iter().any(|(resource, revision)| view.revision(resource) < *revision) {
            return false;
        }
        let now = self.world.now();
        let controller = &self.controllers[work.0];
        let plan = controller.reconcile(&view, &work.1, now);
        let again = controller.reconcile(&view, &work.1, now);
        assert_eq!(plan, again, "{} decides twice about one View", controller.name());
        let wrote = !plan.is_empty();
        let rests = !NEVER_AT_REST.contains(&controller.name());
        if let Some(again) = plan.again.filter(|_| !chance && !wrote && rests) {
            // Nothing else happens any more: time may pass.
            let wait = again.duration_since(now).as_secs() + 1;
            self.pass(wait.clamp(1, 60));
            return true;
        }
        let written = self.perform(&plan, chance);
        self.written.insert(work, written);
        wrote
    }

    /// Performs a plan up to where it fails; what was written, by resource.
    fn perform(&mut self, plan: &Plan, chance: bool) -> Vec<(Resource, u64)> {
        let mut written = Vec::new();
        for stage in &plan.stages {
            let mut failed = false;
            for step in stage {
                if chance && self.world.random.one_in(25) {
                    // The process dies here, or the write is refused.
                    failed = true;
                    if self.world.random.one_in(2) {
                        self.restart();
                        return Vec::new();
                    }
                    continue;
                }
                self.before(&step.resource, &step.key, &step.action);
                match self.world.perform(step) {
                    Ok(()) => {
                        let revision = self.world.revision(&step.resource);
                        written.push((step.resource.clone(), revision));
                    }
                    Err(Refused::Gone) => {}
                    Err(Refused::Conflict) => failed = true,
                }
            }
            if failed {
                break;
            }
        }
        written
    }

    /// Without chance everything comes to rest; how long that may take is bounded.
    fn rest(&mut self) {
        self.end_of_chance();
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for work in self.work() {
                busy |= self.reconcile(work, false);
                self.hold();
            }
            for pod in self.world.all(&resources::PODS) {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let fresh = self.world.get(&resources::PODS, name);
                if !fresh.is_null() {
                    busy |= self.advance(&fresh, false);
                }
            }
            if !busy {
                return;
            }
        }
        let pods: Vec<String> =
            self.world.all(&resources::PODS).iter().map(Value::to_string).collect();
        panic!("it never comes to rest: {}", pods.join("\n"));
    }

    fn pods(&self, owner_name: &str) -> Vec<Value> {
        let all = self.world.all(&resources::PODS).into_iter();
        all.filter(|pod| owner(pod) == owner_name).collect()
    }
}

/// Whether the garbage collector has anything to do with an object.
fn is_garbage_matter(object: &Object) -> bool {
    let held = |name: &String| name == "foregroundDeletion" || name == "orphan";
    !object.metadata.owner_references.is_empty() || object.metadata.finalizers.iter().any(held)
}

fn owner(object: &Value) -> String {
    object["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned()
}

fn is_active(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn target_node(pod: &Value) -> String {
    if let Some(node) = pod["spec"]["nodeName"].as_str() {
        return node.to_owned();
    }
    let affinity = &pod["spec"]["affinity"]["nodeAffinity"];
    let terms = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    terms[0]["matchFields"][0]["values"][0].as_str().unwrap_or_default().to_owned()
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    for _ in 0..STEPS {
        simulation.step();
    }
    simulation.rest();
    simulation.check_rest();
}

/// `SIMULATION_SEED=n` runs one seed, `SIMULATION_SEEDS=n` so many.
#[test]
fn whatever_happens_workloads_come_to_what_is_wanted() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let seeds = number("SIMULATION_SEED").map_or(1..seeds + 1, |seed| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "it fails with SIMULATION_SEED={seed}");
    }
}
