//! The cycle without a world around it, for measuring: nodes and pods go in as objects, choices are
//! taken as bound at once.

use std::sync::Arc;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::cycle::{Nominated, Turn, choose};
use crate::pod::PodFacts;
use crate::profile::Profile;

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

    /// Reads a pod.
    pub fn read(pod: Value) -> ReadPod {
        ReadPod(Arc::new(PodFacts::of(serde_json::from_value(pod).unwrap_or_default())))
    }

    /// Reads and places a pod; tells whether there was a place.
    pub fn place(&mut self, pod: Value) -> bool {
        self.place_read(&PureScheduler::read(pod))
    }

    /// Places a pod; tells whether there was a place.
    pub fn place_read(&mut self, ReadPod(pod): &ReadPod) -> bool {
        let counts = self.profile.counts(&self.cluster, pod);
        self.cluster.follow(&counts);
        self.turn.tie = self.turn.tie.wrapping_add(1);
        let none = Nominated::new();
        let Ok(choice) = choose(&self.profile, &self.cluster, &none, pod, self.turn) else {
            return false;
        };
        self.turn.start = (self.turn.start + choice.evaluated) % self.cluster.count();
        self.cluster.place(PodFacts::placed_on(pod, &choice.node));
        true
    }
}
