//! Questions that are not the cluster's: answered from the cache or by the node's resolvers. Equal
//! questions wait for one exchange, which also ends loops: a question that comes back to us joins
//! itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hickory_proto::op::Message;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cache::{Asked, Cache, Question};
use crate::exchange::exchange;
use crate::message::Transport;
use crate::rules::NameRules;

/// Exchanges under way at once; each has a socket.
const EXCHANGES_MAX: usize = 1000;

type Answer = Option<Arc<Message>>;
type Flight = Shared<BoxFuture<'static, Answer>>;

/// Asks the node's resolvers.
#[derive(Clone)]
pub(crate) struct Forwarder {
    upstreams: watch::Receiver<Vec<SocketAddr>>,
    rules: watch::Receiver<NameRules>,
    shared: Arc<SharedState>,
}

#[derive(Default)]
struct SharedState {
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<(Question, Transport), Flight>>,
}

impl Forwarder {
    /// A forwarder to whatever the resolvers are at the time of a question: those that rules name
    /// for a domain, or the node's.
    pub(crate) fn new(
        upstreams: watch::Receiver<Vec<SocketAddr>>,
        rules: watch::Receiver<NameRules>,
    ) -> Forwarder {
        Forwarder { upstreams, rules, shared: Arc::default() }
    }

    /// The answer; None when there is no resolver that answers, or too much to ask at once.
    pub(crate) async fn ask(&self, asked: Asked, transport: Transport) -> Option<Message> {
        let named = self.rules.borrow().upstreams(&asked.query.name).map(<[SocketAddr]>::to_vec);
        let upstreams = named.unwrap_or_else(|| self.upstreams.borrow().clone());
        let question = Question { asked, upstreams };
        if let Some(message) = lock(&self.shared.cache).get(&question, Instant::now()) {
            return Some(message);
        }
        let flight = self.flight(question, transport)?;
        flight.await.map(|message| Message::clone(&message))
    }

    /// The exchange under way for this question, or a new one.
    fn flight(&self, question: Question, transport: Transport) -> Option<Flight> {
        let mut flights = lock(&self.shared.flights);
        let room = flights.len() < EXCHANGES_MAX;
        match flights.entry((question, transport)) {
            Entry::Occupied(under_way) => Some(under_way.get().clone()),
            Entry::Vacant(_) if !room => None,
            Entry::Vacant(place) => {
                let question = place.key().0.clone();
                // A task of its own: the client that asked first may be gone before the answer.
                let task = tokio::spawn(self.clone().fly(question, transport));
                let flight = async { task.await.ok().flatten() }.boxed().shared();
                Some(place.insert(flight).clone())
            }
        }
    }

    async fn fly(self, question: Question, transport: Transport) -> Answer {
        let answer = exchange(&question.upstreams, &question.asked, transport).await.map(Arc::new);
        if let Some(message) = &answer {
            let now = Instant::now();
            lock(&self.shared.cache).insert(question.clone(), message.clone(), now);
        }
        lock(&self.shared.flights).remove(&(question, transport));
        answer
    }
}

/// What is behind these locks is whole at every moment a panic could come.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
