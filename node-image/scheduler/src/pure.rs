//! The cycle without a world around it, for measuring: nodes and pods go in as objects, choices are
//! taken as bound at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kd_client::Key;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::cycle::{Choice, Diagnosis, Nominated, Turn, choose};
use crate::pod::PodFacts;
use crate::preemption::{Candidate, Preemption, cheapest, preempt};
use crate::profile::Profile;
use crate::storage::{ClaimFacts, VolumeFacts};

/// A scheduler that talks to nobody.
#[derive(Default)]
pub struct PureScheduler {
    profile: Profile,
    cluster: Cluster,
    turn: Turn,
}

/// A pod that is read.
pub struct ReadPod(Arc<PodFacts>);

impl PureScheduler {
    /// Adds a node; what is none is left out.
    pub fn add_node(&mut self, node: Value) {
        if let Ok(node) = serde_json::from_value(node) {
            self.cluster.set_node(node);
        }
    }

    /// Adds a pod that is on a node.
    pub fn add_pod(&mut self, pod: Value) {
        self.cluster.place(PureScheduler::read(pod).0);
    }

    /// Adds a Service, whose pods are spread.
    pub fn add_service(&mut self, service: Value) {
        let Ok(service) = serde_json::from_value::<Service>(service) else { return };
        let (metadata, spec) = (service.metadata, service.spec.unwrap_or_default());
        let namespace = metadata.namespace.unwrap_or_default();
        let key = Key::new(&namespace, &metadata.name.unwrap_or_default());
        Arc::make_mut(&mut self.cluster.siblings).set_service(key, spec.selector);
    }

    /// Adds a PersistentVolumeClaim.
    pub fn add_claim(&mut self, claim: Value) {
        if let Ok(claim) = serde_json::from_value(claim) {
            Arc::make_mut(&mut self.cluster.storage).set_claim(ClaimFacts::of(claim));
        }
    }

    /// Adds a PersistentVolume.
    pub fn add_volume(&mut self, volume: Value) {
        if let Ok(volume) = serde_json::from_value(volume) {
            Arc::make_mut(&mut self.cluster.storage).set_volume(VolumeFacts::of(volume));
        }
    }

    /// Reads a pod.
    pub fn read(pod: Value) -> ReadPod {
        ReadPod(Arc::new(PodFacts::of(serde_json::from_value(pod).unwrap_or_default())))
    }

    /// Places a pod; tells whether there was a place.
    pub fn place(&mut self, ReadPod(pod): &ReadPod) -> bool {
        self.choose(pod).is_ok_and(|choice| self.take(pod, choice))
    }

    /// Places a pod, if need be where others go for it; tells whether there was a place.
    pub fn place_making_room(&mut self, ReadPod(pod): &ReadPod) -> bool {
        let diagnosis = match self.choose(pod) {
            Ok(choice) => return self.take(pod, choice),
            Err(diagnosis) => diagnosis,
        };
        let (none, offset) = (Nominated::new(), self.turn.tie);
        let found = preempt(&self.profile, &self.cluster, &none, pod, &diagnosis, offset);
        let Preemption::Candidates(candidates) = found else { return false };
        let Some(Candidate { node, victims }) = cheapest(candidates) else { return false };
        for victim in victims {
            self.cluster.unplace(&victim.key);
        }
        self.cluster.place(PodFacts::placed_on(pod, &node));
        true
    }

    fn choose(&mut self, pod: &PodFacts) -> Result<Choice, Diagnosis> {
        let counts = self.profile.counts(&self.cluster, pod);
        self.cluster.follow(&counts);
        self.turn.tie = self.turn.tie.wrapping_add(1);
        choose(&self.profile, &self.cluster, &Nominated::new(), pod, self.turn)
    }

    fn take(&mut self, pod: &PodFacts, choice: Choice) -> bool {
        self.turn.start = (self.turn.start + choice.evaluated) % self.cluster.count();
        self.cluster.place(PodFacts::placed_on(pod, &choice.node));
        true
    }
}
