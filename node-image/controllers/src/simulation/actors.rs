//! Who else acts in the cluster: users, the scheduler, kubelets, machines, time.

use kd_client::{DeleteOptions, Key, Resource, resources};
use serde_json::{Value, json};

use super::{NODES, Simulation, owner, target_node};
use crate::testing::time;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl Simulation {
    /// Time passes, and nodes that are alive say so.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.world.clock += seconds;
        let now = time(self.world.clock);
        for name in NODES.into_iter().filter(|name| !self.dead.contains(name)) {
            self.world.change(&resources::LEASES, name, |lease| {
                lease["spec"]["renewTime"] = json!(now);
            });
        }
    }

    /// A user changes their mind, or takes a pod away.
    pub(super) fn user(&mut self) {
        let sets: [(&Resource, &str); 5] = [
            (&resources::STATEFUL_SETS, "s"),
            (&resources::STATEFUL_SETS, "p"),
            (&resources::DAEMON_SETS, "d"),
            (&resources::DEPLOYMENTS, "w"),
            (&resources::REPLICATION_CONTROLLERS, "r"),
        ];
        let (resource, name) = sets[self.world.random.below(sets.len())];
        match self.world.random.below(9) {
            0 | 1 if name != "d" => {
                let replicas = self.world.random.below(5);
                self.world.change(resource, name, |set| set["spec"]["replicas"] = json!(replicas));
            }
            2 | 3 => {
                let image = ["one", "two", "three"][self.world.random.below(3)];
                self.world.change(resource, name, |set| {
                    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
                });
            }
            4 => self.delete_a_deployment(),
            _ => {
                let pods = self.world.all(&resources::PODS);
                let place = self.world.random.below(pods.len());
                let Some(pod) = pods.get(place) else { return };
                self.note_end(pod, false);
                let key = Key::new("a", pod["metadata"]["name"].as_str().unwrap_or_default());
                let _ = self.world.delete(&resources::PODS, &key, &DeleteOptions::default());
            }
        }
    }

    fn delete_a_deployment(&mut self) {
        let way = ["Background", "Foreground"][self.world.random.below(2)];
        let options = DeleteOptions { propagation_policy: Some(way), ..DeleteOptions::default() };
        let _ = self.world.delete(&resources::DEPLOYMENTS, &Key::new("a", "x"), &options);
    }

    /// A machine dies or comes back, or its administrator says that it does not.
    pub(super) fn machine(&mut self) {
        let name = NODES[self.world.random.below(NODES.len())];
        if !self.dead.contains(name) {
            self.dead.insert(name);
        } else if self.world.random.one_in(3) {
            self.world.change(&resources::NODES, name, |node| {
                let taint = json!({"key": OUT_OF_SERVICE, "effect": "NoExecute"});
                match node["spec"]["taints"].as_array_mut() {
                    Some(all) if all.iter().all(|t| t["key"] != OUT_OF_SERVICE) => all.push(taint),
                    Some(_) => {}
                    None => node["spec"]["taints"] = json!([taint]),
                }
            });
        } else {
            self.revive(name);
        }
    }

    fn revive(&mut self, name: &str) {
        self.dead.remove(name);
        self.world.change(&resources::NODES, name, |node| {
            let taints = node.pointer_mut("/spec/taints").and_then(Value::as_array_mut);
            if let Some(all) = taints {
                all.retain(|taint| taint["key"] != OUT_OF_SERVICE);
            }
        });
        self.pass(0);
    }

    /// Every machine is there, nothing is new, every watch tells.
    pub(super) fn end_of_chance(&mut self) {
        for name in NODES {
            self.revive(name);
            self.world.change(&resources::NODES, name, post_ready);
        }
        self.world.change(&resources::CRON_JOBS, "c", |cron| cron["spec"]["suspend"] = json!(true));
        self.restart();
    }

    /// A pod comes one step further; with chance it may fail.
    pub(super) fn kubelet(&mut self, chance: bool) {
        for name in NODES.into_iter().filter(|name| !self.dead.contains(name)) {
            self.world.change(&resources::NODES, name, post_ready);
        }
        let pods = self.world.all(&resources::PODS);
        let place = self.world.random.below(pods.len());
        if let Some(pod) = pods.get(place) {
            self.advance(pod, chance);
        }
    }

    /// Whether anything changed.
    pub(super) fn advance(&mut self, pod: &Value, chance: bool) -> bool {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.dead.contains(pod["spec"]["nodeName"].as_str().unwrap_or_default()) {
            return false;
        }
        let fails = chance && self.world.random.one_in(6);
        let Some(next) = self.next_state(pod, fails) else { return false };
        let changed = next != *pod || pod["metadata"]["deletionTimestamp"].is_string();
        self.world.change(&resources::PODS, &name, |pod| *pod = next);
        changed && self.world.get(&resources::PODS, &name) != *pod
    }

    /// None where the pod has to wait for a node.
    fn next_state(&mut self, pod: &Value, fails: bool) -> Option<Value> {
        let job = pod["spec"]["restartPolicy"] == "Never";
        let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
        let is_ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(is_ready);
        let now = time(self.world.clock);
        let mut next = pod.clone();
        if pod["spec"]["nodeName"].is_null() {
            next["spec"]["nodeName"] = json!(self.place(pod)?);
        } else if pod["metadata"]["deletionTimestamp"].is_string() && phase != "Succeeded" {
            next["status"]["phase"] = json!("Failed");
        } else if phase == "Pending" {
            next["status"]["phase"] = json!("Running");
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            let number: u32 = uid.trim_start_matches("uid-").parse().unwrap_or(0);
            next["status"]["podIP"] = json!(format!("10.0.{}.{}", number / 256, number % 256));
        } else if phase == "Running" && job {
            next["status"]["phase"] = json!(if fails { "Failed" } else { "Succeeded" });
            next["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": 0,
                "state": {"terminated": {"exitCode": i32::from(fails), "finishedAt": now}}}]);
            self.note_end(pod, !fails);
        } else if phase == "Running" && fails && self.world.random.one_in(3) {
            next["status"]["phase"] = json!("Failed");
        } else if phase == "Running" && (!ready || fails) {
            let value = if ready { "False" } else { "True" };
            let mut all = conditions;
            all.retain(|condition| condition["type"] != "Ready");
            all.push(json!({"type": "Ready", "status": value, "lastTransitionTime": now}));
            next["status"]["conditions"] = json!(all);
        }
        Some(next)
    }

    /// The scheduler's choice: the node that the pod is for, or any that takes pods.
    fn place(&mut self, pod: &Value) -> Option<String> {
        let wanted = target_node(pod);
        if !wanted.is_empty() {
            return Some(wanted);
        }
        let free = |name: &&str| {
            let taints = &self.world.get(&resources::NODES, name)["spec"]["taints"];
            taints.as_array().is_none_or(Vec::is_empty)
        };
        let free: Vec<&str> = NODES.into_iter().filter(free).collect();
        let place = self.world.random.below(free.len());
        free.get(place).map(|name| (*name).to_owned())
    }

    /// How a Job's pod ends counts once, and the first way counts.
    pub(super) fn note_end(&mut self, pod: &Value, success: bool) {
        let finalizers = pod["metadata"]["finalizers"].as_array();
        if finalizers.is_none_or(Vec::is_empty)
            || matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        {
            return;
        }
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.ended.entry(uid).or_insert((owner(pod), success));
    }
}

fn post_ready(node: &mut Value) {
    for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if condition["status"] == "Unknown" {
            let good = if condition["type"] == "Ready" { "True" } else { "False" };
            condition["status"] = json!(good);
        }
    }
}
