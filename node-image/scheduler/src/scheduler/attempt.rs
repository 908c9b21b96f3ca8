//! One attempt to place a pod: the cycle, the extenders that have a say, preemption.

use std::collections::HashMap;
use std::sync::Arc;

use kd_client::{Key, resources};
use serde_json::Value;
use tokio::time::Instant;

use super::{Scheduler, WRITES_MAX};
use crate::cycle::{Choice, Diagnosis, Found, Nominated, choose, search};
use crate::extender::Extender;
use crate::plugin::Refusal;
use crate::pod::PodFacts;
use crate::preemption::{Candidate, Preemption, cheapest, preempt};
use crate::profile::EXTENDER;

/// What can be done for a pod that fits nowhere.
pub(super) enum Outcome {
    /// Room is made for it.
    Room(Candidate),
    /// Nothing, and why.
    Nothing(String),
}

/// Why no node was chosen.
enum Refused {
    /// None fits.
    Unschedulable(Diagnosis),
    /// Something else.
    Failed(String),
}

impl Scheduler {
    /// Tries every pod that is ready.
    pub(super) async fn schedule(&mut self) {
        while self.writes.len() < WRITES_MAX {
            let Some(pod) = self.queue.pop(Instant::now()) else { return };
            let Some(index) = self.profile_of(&pod) else { continue };
            if !self.cluster.devices.has_claims_of(&pod) {
                self.queue.refused(&pod.key, vec!["DynamicResources"], Instant::now());
                continue;
            }
            let counts = self.profiles[index].counts(&self.cluster, &pod);
            self.cluster.follow(&counts);
            self.turn.tie = self.turn.tie.wrapping_add(1);
            let extenders = self.extenders.clone();
            let asked: Vec<&Extender> =
                extenders.iter().filter(|e| e.is_interested(&pod)).collect();
            let begun = Instant::now();
            let chosen = match asked.is_empty() {
                true => self.choose(index, &pod).map_err(Refused::Unschedulable),
                false => self.choose_with(index, &pod, &asked).await,
            };
            self.metrics.looked(begun.elapsed());
            match chosen {
                Ok(choice) => {
                    self.turn.start = (self.turn.start + choice.evaluated) % self.cluster.count();
                    self.bind(&pod, choice.node);
                }
                Err(Refused::Failed(why)) => self.fail(&pod, why),
                Err(Refused::Unschedulable(diagnosis)) => {
                    let outcome = self.make_room(index, &pod, &diagnosis, &asked).await;
                    self.refuse(&pod, &diagnosis, outcome);
                }
            }
        }
    }

    fn choose(&self, index: usize, pod: &PodFacts) -> Result<Choice, Diagnosis> {
        let nominated = nominated_before(&self.nominated, pod);
        choose(&self.profiles[index], &self.cluster, &nominated, pod, self.turn)
    }

    /// The cycle with extenders between filtering and scoring, and beside scoring.
    async fn choose_with(
        &self,
        index: usize,
        pod: &PodFacts,
        asked: &[&Extender],
    ) -> Result<Choice, Refused> {
        let written = self.written(pod).await.map_err(Refused::Failed)?;
        let nominated = nominated_before(&self.nominated, pod);
        let profile = &self.profiles[index];
        let found = search(profile, &self.cluster, &nominated, pod, self.turn);
        let mut found = found.map_err(Refused::Unschedulable)?;
        for extender in asked {
            filter_with(extender, &written, &mut found).await.map_err(Refused::Failed)?;
            if found.feasible.is_empty() {
                return Err(Refused::Unschedulable(found.diagnosis));
            }
        }
        let mut more: HashMap<String, i64> = HashMap::new();
        for extender in asked.iter().filter(|_| found.feasible.len() > 1) {
            match extender.scores(&written, &found.feasible).await {
                Ok(scores) => scores.into_iter().for_each(|(node, score)| {
                    *more.entry(node).or_insert(0) += score;
                }),
                // Scores are only better choices of good ones.
                Err(error) => tracing::info!(%error, "an extender does not score"),
            }
        }
        found.best(&more, self.turn).ok_or(Refused::Unschedulable(found.diagnosis))
    }

    /// Looks for pods that have to give way.
    async fn make_room(
        &self,
        index: usize,
        pod: &PodFacts,
        diagnosis: &Diagnosis,
        asked: &[&Extender],
    ) -> Outcome {
        let nominated = nominated_before(&self.nominated, pod);
        let (profile, offset) = (&self.profiles[index], self.turn.tie);
        if profile.preempts {
            self.metrics.preempting();
        }
        let mut candidates =
            match preempt(profile, &self.cluster, &nominated, pod, diagnosis, offset) {
                Preemption::Nothing(why) => return Outcome::Nothing(why),
                Preemption::Candidates(candidates) => candidates,
            };
        if !asked.is_empty() {
            let Ok(written) = self.written(pod).await else {
                return Outcome::Nothing(String::new());
            };
            for extender in asked {
                let kept = candidates.clone();
                candidates = match extender.preempt(&written, candidates).await {
                    Ok(accepted) => accepted,
                    Err(_) if extender.is_ignorable() => kept,
                    Err(error) => return Outcome::Nothing(format!("preemption: {error}")),
                };
            }
        }
        match cheapest(candidates) {
            Some(candidate) => Outcome::Room(candidate),
            None => Outcome::Nothing("preemption: no candidate node found".into()),
        }
    }

    /// The pod as the API server has it.
    async fn written(&self, pod: &PodFacts) -> Result<Value, String> {
        let (namespace, name) = (&pod.key.namespace, &pod.key.name);
        let object = self.client.get(&resources::PODS, namespace, name).await;
        let object = object.map_err(|error| error.message())?;
        Ok(object.bytes().and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default())
    }
}

async fn filter_with(
    extender: &Extender,
    pod: &Value,
    found: &mut Found<'_>,
) -> Result<(), String> {
    let filtered = match extender.filter(pod, &found.feasible).await {
        Ok(filtered) => filtered,
        Err(error) if extender.is_ignorable() => {
            tracing::info!(%error, "an extender does not answer and is left out");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let (left, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut found.feasible)
        .into_iter()
        .partition(|node| filtered.left.contains(&node.name));
    found.feasible = left;
    for node in gone {
        let known = filtered.refused.get(&node.name);
        let (reason, resolvable) = known.cloned().unwrap_or((String::new(), true));
        let refusal = Refusal { reason: reason.into(), resolvable };
        found.diagnosis.refusals.push((node.clone(), EXTENDER, vec![refusal]));
    }
    Ok(())
}

/// The pods for which room is being made that come before this one, by node.
fn nominated_before<'a>(
    nominated: &'a HashMap<Key, Arc<PodFacts>>,
    pod: &PodFacts,
) -> Nominated<'a> {
    let mut before = Nominated::new();
    for other in nominated.values() {
        let first = other.key != pod.key && other.wishes.priority >= pod.wishes.priority;
        if let Some(node) = other.nominated.as_deref().filter(|_| first) {
            before.entry(node).or_default().push(other);
        }
    }
    before
}
