//! Priority and Fairness: how many requests run at the same time, who waits, and who is told to come
//! back later (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>).

mod classify;
mod level;
mod metrics;
mod seat;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use kd_api::Status;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use classify::Flow;
use classify::{GROUP, LEVELS, SCHEMAS, Table};
use level::{Levels, Refused, Verdict};
pub(crate) use metrics::expose;
use seat::Place;
pub(crate) use seat::Seat;
pub(crate) use work::width;

use crate::request::{Reader, RequestInfo, UserInfo};

/// The longest that a request waits for a seat: a quarter of what a request may last.
const WAIT_MAX: Duration = Duration::from_secs(15);
const RETRY_AFTER_SECONDS: u32 = 1;

/// The places of a server and who has them.
pub(crate) struct Fairness {
    reader: Arc<dyn Reader>,
    /// Seats of all levels together.
    seats: usize,
    table: RwLock<Arc<Table>>,
    levels: Mutex<Levels>,
}

/// What a request is to the old gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Mutating,
    ReadOnly,
}

impl Lane {
    fn of(info: &RequestInfo) -> Lane {
        match info.verb.as_str() {
            "get" | "list" | "watch" => Lane::ReadOnly,
            _ => Lane::Mutating,
        }
    }
}

impl Fairness {
    pub(crate) fn new(reader: Arc<dyn Reader>, seats: usize) -> Arc<Fairness> {
        let table = RwLock::new(Arc::new(Table::empty()));
        let levels = Mutex::new(Levels::default());
        Arc::new(Fairness { reader, seats, table, levels })
    }

    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which flow a request belongs to.
    pub(crate) fn classify(self: &Arc<Self>, user: &UserInfo, info: &RequestInfo) -> Flow {
        self.table().classify(user, info)
    }

    /// The schemas as they are now: made anew only when one of the objects has changed.
    fn table(self: &Arc<Self>) -> Arc<Table> {
        let generations = [SCHEMAS, LEVELS].map(|resource| self.reader.generation(GROUP, resource));
        let known = self.table.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.generations == Some(generations) {
            return known;
        }
        let list = |resource| self.reader.list(GROUP, resource, None);
        let (table, configurations) =
            Table::of(&list(SCHEMAS), &list(LEVELS), self.seats, generations);
        let table = Arc::new(table);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table.clone();
        let mut levels = self.levels();
        levels.configure(configurations);
        let called = self.call(&mut levels);
        drop(levels);
        drop(called);
        table
    }

    /// Its seats for a request that would like this many, when it is its turn.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        flow: &Flow,
        info: &RequestInfo,
        width: usize,
    ) -> Result<Seat, Status> {
        let lane = Lane::of(info);
        let (waiter, called) = {
            let mut levels = self.levels();
            match levels.arrive(flow, lane, width) {
                Verdict::Run(width) => {
                    let place = Place { flow: flow.clone(), lane, width, queue: None };
                    return Ok(Seat::new(self, place));
                }
                Verdict::Refused(why) => {
                    levels.refuse(flow, why);
                    return Err(refused());
                }
                Verdict::Wait(ticket, called) => {
                    (Waiter { fairness: self.clone(), flow: flow.clone(), ticket, lane }, called)
                }
            }
        };
        self.wait(waiter, called).await
    }

    async fn wait(&self, waiter: Waiter, called: oneshot::Receiver<Seat>) -> Result<Seat, Status> {
        let outcome = timeout(WAIT_MAX, called).await;
        if outcome.is_err() {
            self.levels().refuse(&waiter.flow, Refused::TimeOut);
        }
        match outcome {
            Ok(Ok(seat)) => Ok(seat),
            _ => Err(refused()),
        }
    }

    /// Hands out what seats are free; what nobody took is given back by the caller, who must not
    /// hold the lock then.
    fn call(self: &Arc<Self>, levels: &mut Levels) -> Vec<Seat> {
        let mut untaken = Vec::new();
        while let Some(next) = levels.next() {
            let level::Next { flow, lane, width, queue, wake } = next;
            let seat = Seat::new(self, Place { flow, lane, width, queue: Some(queue) });
            if let Err(seat) = wake.send(seat) {
                untaken.push(seat);
            }
        }
        untaken
    }

    /// A request has ended.
    fn leave(self: &Arc<Self>, place: &Place, seconds: f64) {
        let mut untaken = {
            let mut levels = self.levels();
            levels.leave(place, seconds);
            self.call(&mut levels)
        };
        // Each seat that is given back may be the next one's: no recursion, however many gave up.
        while let Some(seat) = untaken.pop() {
            let Some(place) = seat.take_apart() else { continue };
            let mut levels = self.levels();
            levels.leave(&place, 0.0);
            untaken.extend(self.call(&mut levels));
        }
    }

    /// How many run and wait, by the names of the old gauges.
    pub(crate) fn lanes(&self) -> [(&'static str, usize, usize); 2] {
        let levels = self.levels();
        let of =
            |name, lane: Lane| (name, levels.running[lane as usize], levels.waiting[lane as usize]);
        [of("mutating", Lane::Mutating), of("readOnly", Lane::ReadOnly)]
    }

    /// What is counted, by flow schema and level.
    fn counted(&self) -> (CountsByFlow, LimitsByLevel) {
        let levels = self.levels();
        (levels.counts.clone(), levels.limits())
    }
}

/// By the names of flow schema and level.
type CountsByFlow = BTreeMap<[Arc<str>; 2], level::Counts>;

/// Seats of levels: nominal, current, taken.
type LimitsByLevel = Vec<(Arc<str>, [usize; 3])>;

/// Leaves its queue when it gives up.
struct Waiter {
    fairness: Arc<Fairness>,
    flow: Flow,
    ticket: level::Ticket,
    lane: Lane,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.fairness.levels().give_up(&self.flow, &self.ticket, self.lane);
    }
}

fn refused() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)
}
