//! The right to run, given back when it is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::{Fairness, Flow, Lane};

/// A request that runs.
pub(crate) struct Seat(Option<Taken>);

struct Taken {
    fairness: Arc<Fairness>,
    place: Place,
    began: Instant,
}

/// What a request has taken.
pub(super) struct Place {
    pub(super) flow: Flow,
    pub(super) lane: Lane,
    /// How many seats.
    pub(super) width: usize,
    /// Where it waited, if it did.
    pub(super) queue: Option<usize>,
}

impl Seat {
    pub(super) fn new(fairness: &Arc<Fairness>, place: Place) -> Seat {
        Seat(Some(Taken { fairness: fairness.clone(), place, began: Instant::now() }))
    }

    /// What it is for; nothing is given back any more.
    pub(super) fn take_apart(mut self) -> Option<Place> {
        self.0.take().map(|taken| taken.place)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(Taken { fairness, place, began }) = self.0.take() {
            fairness.leave(&place, began.elapsed().as_secs_f64());
        }
    }
}
