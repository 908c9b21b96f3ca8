//! Priority levels: seats, what they lend each other, and queues in which flows wait apart, so that
//! one with many requests does not starve the others. Pure but for the channels of those who wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kd_api::Object;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Flow, Lane, Place, Seat};

/// What a request is believed to take until it has ended.
const ASSUMED_SECONDS: f64 = 60.0;
/// Seats of a level that nothing configures.
const FALLBACK_SEATS: usize = 1;
/// The share of a level's seats that one request may take, in percent.
const WIDTH_PERCENT_MAX: usize = 15;

/// How a level is to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LevelConfiguration {
    name: Arc<str>,
    exempt: bool,
    nominal: usize,
    /// The most seats that one request takes.
    width_max: usize,
    lendable: usize,
    /// More than its own seats; None for as many as there are.
    borrows_max: Option<usize>,
    /// 0: nobody waits.
    queues: usize,
    hand: usize,
    length_max: usize,
}

impl LevelConfiguration {
    /// The levels of a server with this many seats.
    pub(super) fn all(levels: &[Arc<Value>], seats: usize) -> Vec<LevelConfiguration> {
        let shares = |level: &Value| {
            let of = |part| level.i64_at(&["spec", part, "nominalConcurrencyShares"]);
            match level.str_at(&["spec", "type"]) {
                "Exempt" => of("exempt").unwrap_or(0),
                _ => of("limited").unwrap_or(30),
            }
        };
        let all: i64 = levels.iter().map(|level| shares(level)).sum();
        let of = |level: &Arc<Value>| {
            let nominal = (seats as f64 * shares(level) as f64 / all.max(1) as f64).ceil();
            LevelConfiguration::of(level, nominal as usize)
        };
        levels.iter().map(of).collect()
    }

    fn of(level: &Value, nominal: usize) -> LevelConfiguration {
        let exempt = level.str_at(&["spec", "type"]) == "Exempt";
        let part = if exempt { "exempt" } else { "limited" };
        let spec = &level["spec"][part];
        let percent = |field: &str| spec.i64_at(&[field]).and_then(|p| usize::try_from(p).ok());
        let queuing = spec.at(&["limitResponse", "queuing"]).filter(|queuing| queuing.is_object());
        let number = |field: &str, default: usize| {
            let found = queuing.and_then(|queuing| queuing.i64_at(&[field]));
            found.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
        };
        let waits = spec.str_at(&["limitResponse", "type"]) == "Queue";
        let queues = if waits { number("queues", 64).max(1) } else { 0 };
        let hand = number("handSize", 8).clamp(1, queues.max(1));
        // Nor may it keep the other queues of its flow waiting.
        let width = (nominal * WIDTH_PERCENT_MAX).div_ceil(100).min(nominal.div_ceil(hand));
        LevelConfiguration {
            name: level.name().into(),
            exempt,
            nominal,
            width_max: width.max(1),
            lendable: nominal * percent("lendablePercent").unwrap_or(0) / 100,
            borrows_max: percent("borrowingLimitPercent").map(|percent| nominal * percent / 100),
            queues,
            hand,
            length_max: number("queueLengthLimit", 50),
        }
    }
}

/// Why a request does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
}

impl Refused {
    const ALL: [(Refused, &'static str); 3] = [
        (Refused::ConcurrencyLimit, "concurrency-limit"),
        (Refused::QueueFull, "queue-full"),
        (Refused::TimeOut, "time-out"),
    ];

    pub(super) fn name(place: usize) -> &'static str {
        Refused::ALL[place].1
    }
}

/// What is counted of a schema.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) dispatched: u64,
    pub(super) refused: [u64; Refused::ALL.len()],
    pub(super) running: usize,
    pub(super) seats: usize,
    pub(super) waiting: usize,
}

/// A place in a queue.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    queue: usize,
    number: u64,
}

pub(super) enum Verdict {
    /// On this many seats.
    Run(usize),
    Wait(Ticket, oneshot::Receiver<Seat>),
    Refused(Refused),
}

/// Whose turn it is.
pub(super) struct Next {
    pub(super) flow: Flow,
    pub(super) lane: Lane,
    pub(super) width: usize,
    pub(super) queue: usize,
    pub(super) wake: oneshot::Sender<Seat>,
}

/// All levels of a server.
#[derive(Default)]
pub(super) struct Levels {
    levels: BTreeMap<Arc<str>, Level>,
    pub(super) counts: BTreeMap<[Arc<str>; 2], Counts>,
    pub(super) running: [usize; 2],
    pub(super) waiting: [usize; 2],
    tickets: u64,
}

struct Level {
    configuration: LevelConfiguration,
    running: usize,
    /// What those that run have taken.
    seats: usize,
    waiting: usize,
    queues: Vec<Queue>,
    /// The virtual time of the last request that was called.
    now: f64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Seats of its requests that run.
    seats: usize,
    /// The virtual time at which its next request begins.
    start: f64,
}

struct Waiting {
    number: u64,
    flow: Flow,
    lane: Lane,
    width: usize,
    wake: oneshot::Sender<Seat>,
}

impl Levels {
    pub(super) fn configure(&mut self, configurations: Vec<LevelConfiguration>) {
        let names: Vec<Arc<str>> = configurations.iter().map(|level| level.name.clone()).collect();
        for configuration in configurations {
            match self.levels.get_mut(&configuration.name) {
                Some(level) => level.configuration = configuration,
                None => {
                    let name = configuration.name.clone();
                    self.levels.insert(name, Level::new(configuration));
                }
            }
        }
        // One that is gone stays until its requests have ended.
        self.levels
            .retain(|name, level| names.contains(name) || level.running > 0 || level.waiting > 0);
        let levels = &self.levels;
        self.counts.retain(|[_, level], _| levels.contains_key(level));
    }

    fn level(&mut self, flow: &Flow) -> &mut Level {
        let name = &flow.names.level;
        self.levels.entry(name.clone()).or_insert_with(|| {
            Level::new(LevelConfiguration {
                name: name.clone(),
                exempt: false,
                nominal: FALLBACK_SEATS,
                width_max: FALLBACK_SEATS,
                lendable: 0,
                borrows_max: Some(0),
                queues: 0,
                hand: 1,
                length_max: 0,
            })
        })
    }

    fn counts(&mut self, flow: &Flow) -> &mut Counts {
        let key = [flow.names.schema.clone(), flow.names.level.clone()];
        self.counts.entry(key).or_default()
    }

    /// A request has come that would like this many seats.
    pub(super) fn arrive(&mut self, flow: &Flow, lane: Lane, width: usize) -> Verdict {
        let borrowable = self.borrowable(&flow.names.level);
        let level = self.level(flow);
        let width = width.clamp(1, level.configuration.width_max);
        if level.waiting == 0 && level.has_seats(width, borrowable) {
            level.running += 1;
            level.seats += width;
            self.dispatched(flow, lane, width);
            return Verdict::Run(width);
        }
        if level.configuration.queues == 0 {
            return Verdict::Refused(Refused::ConcurrencyLimit);
        }
        let queue = level.choose_queue(flow.hash);
        if level.queues[queue].waiting.len() >= level.configuration.length_max {
            return Verdict::Refused(Refused::QueueFull);
        }
        let (wake, called) = oneshot::channel();
        self.tickets += 1;
        let number = self.tickets;
        let level = self.level(flow);
        level.enqueue(queue, Waiting { number, flow: flow.clone(), lane, width, wake });
        self.waiting[lane as usize] += 1;
        self.counts(flow).waiting += 1;
        Verdict::Wait(Ticket { queue, number }, called)
    }

    fn dispatched(&mut self, flow: &Flow, lane: Lane, width: usize) {
        self.running[lane as usize] += 1;
        let counts = self.counts(flow);
        counts.running += 1;
        counts.seats += width;
        counts.dispatched += 1;
    }

    pub(super) fn refuse(&mut self, flow: &Flow, why: Refused) {
        let place = Refused::ALL.iter().position(|(known, _)| *known == why).unwrap_or(0);
        self.counts(flow).refused[place] += 1;
    }

    /// One that waits does not want any more; nothing if it was called.
    pub(super) fn give_up(&mut self, flow: &Flow, ticket: &Ticket, lane: Lane) {
        let level = self.level(flow);
        let Some(queue) = level.queues.get_mut(ticket.queue) else { return };
        let Some(place) = queue.waiting.iter().position(|w| w.number == ticket.number) else {
            return;
        };
        queue.waiting.remove(place);
        level.waiting -= 1;
        self.waiting[lane as usize] -= 1;
        self.counts(flow).waiting -= 1;
    }

    /// A request has ended.
    pub(super) fn leave(&mut self, taken: &Place, seconds: f64) {
        let Place { flow, lane, width, queue } = taken;
        let level = self.level(flow);
        level.running -= 1;
        level.seats -= width;
        if let Some(queue) = queue.and_then(|queue| level.queues.get_mut(queue)) {
            queue.seats -= width;
            queue.start += (seconds - ASSUMED_SECONDS) * *width as f64;
        }
        self.running[*lane as usize] -= 1;
        let counts = self.counts(flow);
        counts.running -= 1;
        counts.seats -= width;
    }

    /// Who is called next, while there are seats.
    pub(super) fn next(&mut self) -> Option<Next> {
        if self.waiting == [0, 0] {
            return None;
        }
        let ready = |(name, level): &(&Arc<str>, &Level)| {
            let first = level.first_queue().and_then(|queue| level.queues[queue].waiting.front());
            first.is_some_and(|first| level.has_seats(first.width, self.borrowable(name)))
        };
        let name = self.levels.iter().find(ready).map(|(name, _)| name.clone())?;
        let (queue, waiting) = self.levels.get_mut(&name)?.dequeue()?;
        let Waiting { flow, lane, width, wake, .. } = waiting;
        self.waiting[lane as usize] -= 1;
        self.counts(&flow).waiting -= 1;
        self.dispatched(&flow, lane, width);
        Some(Next { flow, lane, width, queue, wake })
    }

    /// The seats that others have to lend now, without what they or their borrowers use.
    fn borrowable(&self, borrower: &str) -> usize {
        let (mut lent, mut borrowed) = (0, 0);
        for (name, level) in &self.levels {
            let LevelConfiguration { nominal, lendable, exempt, .. } = level.configuration;
            if exempt {
                continue;
            }
            borrowed += level.seats.saturating_sub(nominal);
            if **name != *borrower {
                lent += lendable.min(nominal.saturating_sub(level.seats));
            }
        }
        lent.saturating_sub(borrowed)
    }

    /// Each level's nominal seats, the seats that it may have now, and those it has.
    pub(super) fn limits(&self) -> Vec<(Arc<str>, [usize; 3])> {
        let of = |(name, level): (&Arc<str>, &Level)| {
            let nominal = level.configuration.nominal;
            (name.clone(), [nominal, nominal.max(level.seats), level.seats])
        };
        self.levels.iter().map(of).collect()
    }
}

impl Level {
    fn new(configuration: LevelConfiguration) -> Level {
        Level { configuration, running: 0, seats: 0, waiting: 0, queues: Vec::new(), now: 0.0 }
    }

    fn has_seats(&self, width: usize, borrowable: usize) -> bool {
        let LevelConfiguration { exempt, nominal, borrows_max, .. } = self.configuration;
        let wanted = self.seats + width;
        let borrows = wanted - wanted.min(nominal.max(self.seats));
        let borrowed = wanted.saturating_sub(nominal);
        exempt
            || wanted <= nominal
            || (borrows <= borrowable && borrows_max.is_none_or(|most| borrowed <= most))
    }

    /// The emptiest of the queues that the flow is dealt.
    fn choose_queue(&mut self, hash: u64) -> usize {
        let queues = self.configuration.queues;
        if self.queues.len() < queues {
            self.queues.resize_with(queues, Queue::default);
        }
        let load = |queue: &usize| {
            let queue = &self.queues[*queue];
            queue.waiting.iter().map(|waiting| waiting.width).sum::<usize>() + queue.seats
        };
        deal(hash, queues, self.configuration.hand).into_iter().min_by_key(load).unwrap_or(0)
    }

    fn enqueue(&mut self, place: usize, waiting: Waiting) {
        self.waiting += 1;
        let queue = &mut self.queues[place];
        if queue.waiting.is_empty() && queue.seats == 0 {
            // Who was away has saved nothing up.
            queue.start = queue.start.max(self.now);
        }
        queue.waiting.push_back(waiting);
    }

    /// The queue that has had least, of those where somebody waits.
    fn first_queue(&self) -> Option<usize> {
        if self.waiting == 0 {
            return None;
        }
        let queues = self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty());
        queues.min_by(|(_, a), (_, b)| a.start.total_cmp(&b.start)).map(|(place, _)| place)
    }

    fn dequeue(&mut self) -> Option<(usize, Waiting)> {
        let place = self.first_queue()?;
        let queue = &mut self.queues[place];
        let waiting = queue.waiting.pop_front()?;
        self.now = self.now.max(queue.start);
        queue.start += ASSUMED_SECONDS * waiting.width as f64;
        queue.seats += waiting.width;
        self.waiting -= 1;
        self.running += 1;
        self.seats += waiting.width;
        Some((place, waiting))
    }
}

/// A hand of different cards of a deck, the same for the same hash: flows that share all of their
/// queues are rare.
pub(super) fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut cards: Vec<usize> = Vec::with_capacity(hand);
    for left in (deck - hand + 1..=deck).rev() {
        let mut card = (hash % left as u64) as usize;
        hash /= left as u64;
        let mut dealt = cards.clone();
        dealt.sort_unstable();
        for other in dealt {
            card += usize::from(card >= other);
        }
        cards.push(card);
    }
    cards
}
