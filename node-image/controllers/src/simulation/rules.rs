//! What must hold: of each write, at any time, and once everything is at rest.

use std::collections::BTreeSet;

use kd_client::{Key, Resource, resources};
use serde_json::{Value, json};

use super::{NODES, Simulation, is_active, owner, target_node};
use crate::Action;

/// The most replicas that a user asks for, and what a rollout may have besides.
const REPLICAS_MAX: i64 = 4;
const SURGE: i64 = 1;

impl Simulation {
    /// What must hold of a write at the moment it is done.
    pub(super) fn before(&mut self, resource: &Resource, key: &Key, action: &Action) {
        if !resource.same(&resources::PODS) {
            return;
        }
        match action {
            Action::Create(pod) if owner(pod) == "d" => {
                let node = target_node(pod);
                let there = self.pods("d").into_iter().filter(is_active);
                let twins = there.filter(|p| target_node(p) == node).count();
                assert_eq!(twins, 0, "a second daemon on {node}");
            }
            Action::Create(pod) => self.no_more_than_wanted(pod),
            Action::Delete(_) => {
                let pod = self.world.get(resource, &key.name);
                // A Job's pod that is taken away has failed, unless it was taken as surplus.
                if pod["status"]["conditions"].to_string().contains("DisruptionTarget") {
                    self.note_end(&pod, false);
                }
                if owner(&pod) == "s" && !self.evicted(&pod) {
                    self.one_at_a_time(&pod, key);
                }
            }
            _ => {}
        }
    }

    /// Whether something else than its set takes a pod away.
    fn evicted(&self, pod: &Value) -> bool {
        pod["status"]["conditions"].to_string().contains("DisruptionTarget")
            || pod["metadata"]["deletionTimestamp"].is_string()
    }

    /// A set has no more active pods than it asks for.
    fn no_more_than_wanted(&self, pod: &Value) {
        let kind = pod["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap_or_default();
        let resource = match kind {
            "ReplicaSet" => &resources::REPLICA_SETS,
            "ReplicationController" => &resources::REPLICATION_CONTROLLERS,
            _ => return,
        };
        let name = owner(pod);
        if self.world.get(resource, &name).is_null() {
            return;
        }
        let active = self.pods(&name).iter().filter(|pod| is_active(pod)).count() as i64;
        // The set may have been made smaller since the View; it was never larger than this.
        assert!(active < REPLICAS_MAX + SURGE, "{name} has {active} pods and creates one more");
    }

    /// Pods of an ordered set are taken down one after the other.
    fn one_at_a_time(&mut self, pod: &Value, key: &Key) {
        let alive: Vec<Value> = self.pods("s");
        let leaving = alive.iter().filter(|p| {
            self.taken_down.contains(p["metadata"]["uid"].as_str().unwrap_or_default())
        });
        let others = leaving.filter(|p| p["metadata"]["name"] != *key.name).count();
        assert_eq!(others, 0, "two pods of an ordered set are taken down at once");
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        self.taken_down.insert(uid.to_owned());
    }

    /// What must hold at any time.
    pub(super) fn hold(&self) {
        for (job, parallelism) in [("j", 3), ("i", 2)] {
            let active: Vec<Value> = self.pods(job).into_iter().filter(is_active).collect();
            assert!(active.len() <= parallelism, "{job} runs {} pods at once", active.len());
            let index = "batch.kubernetes.io/job-completion-index";
            let indexes: BTreeSet<&str> = active
                .iter()
                .filter_map(|p| p["metadata"]["annotations"][index].as_str())
                .collect();
            assert!(job == "j" || indexes.len() == active.len(), "an index runs twice");
        }
        let wanted = self.world.all(&resources::REPLICA_SETS).into_iter();
        let wanted = wanted.filter(|set| owner(set) == "w");
        let total: i64 = wanted.filter_map(|set| set["spec"]["replicas"].as_i64()).sum();
        assert!(total <= REPLICAS_MAX + SURGE, "a rollout asks for {total} pods");
        let running = self.world.all(&resources::JOBS).into_iter();
        let running = running.filter(|job| owner(job) == "c" && !is_finished(job)).count();
        assert!(running <= 1, "{running} Jobs of a CronJob that forbids a second one");
    }

    pub(super) fn check_rest(&self) {
        self.check_sets();
        self.check_jobs();
        let deployment = self.world.get(&resources::DEPLOYMENTS, "w");
        let ready = deployment["status"]["availableReplicas"].as_i64().unwrap_or(0);
        assert_eq!(json!(ready), deployment["spec"]["replicas"], "{}", deployment["status"]);
        let slices = self.world.all(&resources::ENDPOINT_SLICES);
        let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
        let serving = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
        assert_eq!(serving as i64, ready, "{slices:?}");
        let budget = &self.world.get(&resources::POD_DISRUPTION_BUDGETS, "w")["status"];
        assert_eq!(budget["currentHealthy"], ready, "{budget}");
        assert_eq!(budget["disruptionsAllowed"], (ready - 1).max(0), "{budget}");
        self.check_owners();
        for name in NODES {
            let taints = &self.world.get(&resources::NODES, name)["spec"]["taints"];
            assert!(taints.as_array().is_none_or(Vec::is_empty), "{name} has {taints}");
        }
    }

    /// Nothing outlives its owners.
    fn check_owners(&self) {
        let kinds = [&resources::REPLICA_SETS, &resources::PODS, &resources::JOBS];
        let all = kinds.into_iter().flat_map(|resource| self.world.all(resource));
        let uid = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned);
        let owners = [
            &resources::DEPLOYMENTS,
            &resources::REPLICA_SETS,
            &resources::REPLICATION_CONTROLLERS,
            &resources::STATEFUL_SETS,
            &resources::DAEMON_SETS,
            &resources::JOBS,
            &resources::CRON_JOBS,
        ];
        let uids: BTreeSet<String> = owners
            .into_iter()
            .flat_map(|resource| self.world.all(resource))
            .filter_map(|object| uid(&object))
            .collect();
        for object in all {
            let Some(owner) = object["metadata"]["ownerReferences"][0]["uid"].as_str() else {
                continue;
            };
            assert!(uids.contains(owner), "an orphan is left: {object}");
        }
    }

    fn check_sets(&self) {
        for name in ["s", "p"] {
            let set = self.world.get(&resources::STATEFUL_SETS, name);
            let (wanted, status) = (&set["spec"]["replicas"], &set["status"]);
            let count = |field: &str| status[field].as_i64().unwrap_or(0);
            for field in ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas"] {
                assert_eq!(json!(count(field)), *wanted, "{name} {field}: {status}");
            }
        }
        // A claim stays behind when its pod is lost in the very moment of scaling down.
        let claims = self.world.all(&resources::PERSISTENT_VOLUME_CLAIMS).len();
        let wanted = &self.world.get(&resources::STATEFUL_SETS, "s")["spec"]["replicas"];
        assert!(wanted.as_u64().is_some_and(|wanted| claims as u64 >= wanted), "{claims} claims");
        let daemons = &self.world.get(&resources::DAEMON_SETS, "d")["status"];
        for field in ["desiredNumberScheduled", "numberAvailable", "updatedNumberScheduled"] {
            assert_eq!(daemons[field], NODES.len(), "{field}: {daemons}");
        }
        let controller = self.world.get(&resources::REPLICATION_CONTROLLERS, "r");
        let available = controller["status"]["availableReplicas"].as_i64().unwrap_or(0);
        assert_eq!(json!(available), controller["spec"]["replicas"], "{}", controller["status"]);
    }

    fn check_jobs(&self) {
        for (name, completions) in [("j", 6), ("i", 5)] {
            let status = &self.world.get(&resources::JOBS, name)["status"];
            let conditions = status["conditions"].to_string();
            assert!(conditions.contains("\"Complete\""), "{name}: {status}");
            assert_eq!(status["succeeded"], completions, "{name}: {status}");
            let ends =
                |success| self.ended.values().filter(|e| **e == (name.to_owned(), success)).count();
            assert_eq!(status["failed"].as_u64().unwrap_or(0), ends(false) as u64, "{name} failed");
            assert_eq!(ends(true), completions, "{name} succeeded");
            let held = self
                .pods(name)
                .iter()
                .filter(|p| p["metadata"]["finalizers"][0].is_string())
                .count();
            assert_eq!(held, 0, "{name} holds pods that are counted");
        }
        let timed = self.world.get(&resources::JOBS, "t");
        assert!(timed.is_null(), "a Job outlives its time: {timed}");
        let cron = self.world.all(&resources::JOBS).into_iter().filter(|job| owner(job) == "c");
        let finished = cron.filter(is_finished).count();
        assert!(finished <= 4, "{finished} Jobs are kept of a CronJob");
    }
}

fn is_finished(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].to_string();
    conditions.contains("\"Complete\"") || conditions.contains("\"Failed\"")
}
