//! The right to run, given back when it is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::{Fairness, Flow, Lane};

/// A request that runs.
pub(crate) struct Seat(Option<Taken>);

struct Taken {
    fairness: Arc<Fairness>,
    flow: Flow,
    lane: Lane,
    queue: Option<usize>,
    began: Instant,
}

impl Seat {
    pub(super) fn new(
        fairness: &Arc<Fairness>,
        flow: &Flow,
        lane: Lane,
        queue: Option<usize>,
    ) -> Seat {
        let (fairness, flow) = (fairness.clone(), flow.clone());
        Seat(Some(Taken { fairness, flow, lane, queue, began: Instant::now() }))
    }

    /// What it is for; nothing is given back any more.
    pub(super) fn take_apart(mut self) -> Option<(Flow, Lane, Option<usize>)> {
        self.0.take().map(|taken| (taken.flow, taken.lane, taken.queue))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(Taken { fairness, flow, lane, queue, began }) = self.0.take() {
            fairness.leave(&flow, lane, queue, began.elapsed().as_secs_f64());
        }
    }
}
