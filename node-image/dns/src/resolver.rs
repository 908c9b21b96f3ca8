//! A question's answer: from the zone, from the node's resolvers, or along a chain of names through
//! both.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::Asked;
use crate::forwarder::Forwarder;
use crate::message::{Answer, Request, Transport};
use crate::rules::NameRules;
use crate::zone::{Outcome, Zone, alias};

/// Names that stand for names; a longer chain is taken for a loop.
const ALIASES_MAX: usize = 8;
/// How long a question may wait for the API to be read at the start.
const START_MAX: Duration = Duration::from_secs(4);

/// Answers questions.
pub(crate) struct Resolver {
    zone: watch::Receiver<Zone>,
    rules: watch::Receiver<NameRules>,
    forwarder: Forwarder,
    turn: AtomicUsize,
}

impl Resolver {
    /// A resolver over what the zone and the forwarder are at the time of a question.
    pub(crate) fn new(
        zone: watch::Receiver<Zone>,
        rules: watch::Receiver<NameRules>,
        forwarder: Forwarder,
    ) -> Resolver {
        Resolver { zone, rules, forwarder, turn: AtomicUsize::new(0) }
    }

    /// The answer.
    pub(crate) async fn answer(&self, request: &Request) -> Answer {
        if let Some(code) = request.refused() {
            return Answer::code(code);
        }
        let record_type = request.query.query_type;
        if self.rules.borrow().log {
            tracing::info!(name = %request.query.name, %record_type, "asked");
        }
        let mut name = request.query.name.clone();
        let mut chain = Vec::new();
        while chain.len() < ALIASES_MAX {
            match self.look_up(&name, record_type).await {
                Outcome::Foreign => return self.forward(request, name, chain).await,
                Outcome::Unknown => break,
                Outcome::NoName => return self.denial(ResponseCode::NXDomain, chain),
                Outcome::Records(records, _) if records.is_empty() => {
                    return self.denial(ResponseCode::NoError, chain);
                }
                Outcome::Records(records, additionals) => {
                    chain.extend(self.turned(record_type, records));
                    let answer = Answer { answers: chain, additionals, ..Answer::default() };
                    return Answer { authoritative: true, ..answer };
                }
                Outcome::Alias(target) => {
                    chain.push(alias(&name, &target));
                    name = target;
                    if record_type == RecordType::CNAME {
                        let answer = Answer { answers: chain, ..Answer::default() };
                        return Answer { authoritative: true, ..answer };
                    }
                }
            }
        }
        Answer::code(ResponseCode::ServFail)
    }

    /// What rules or the zone say; at the start, once the zone can say something.
    async fn look_up(&self, name: &Name, record_type: RecordType) -> Outcome {
        if let Some(outcome) = self.by_rules(name, record_type) {
            return outcome;
        }
        let outcome = self.zone.borrow().resolve(name, record_type);
        if outcome != Outcome::Unknown {
            return outcome;
        }
        let mut zone = self.zone.clone();
        match timeout(START_MAX, zone.wait_for(Zone::is_complete)).await {
            Ok(Ok(zone)) => zone.resolve(name, record_type),
            _ => Outcome::Unknown,
        }
    }

    /// What the cluster's owner says about a name.
    fn by_rules(&self, name: &Name, record_type: RecordType) -> Option<Outcome> {
        let rules = self.rules.borrow();
        if let Some(target) = rules.alias(name) {
            return Some(Outcome::Alias(target.clone()));
        }
        rules.records(name, record_type).map(|records| Outcome::Records(records, Vec::new()))
    }

    async fn forward(&self, request: &Request, name: Name, mut chain: Vec<Record>) -> Answer {
        let is_alias = !chain.is_empty();
        let asked = Asked {
            query: Query::query(name, request.query.query_type),
            recursion_desired: request.metadata.recursion_desired || is_alias,
            checking_disabled: request.metadata.checking_disabled,
            edns: request.edns.is_some() || is_alias,
            dnssec_ok: request.dnssec_ok(),
        };
        let mut found = self.forwarder.ask(asked.clone(), request.transport).await;
        // The question that was cut short is ours, not the client's: it cannot ask it again.
        if is_alias && found.as_ref().is_some_and(|found| found.metadata.truncation) {
            found = self.forwarder.ask(asked, Transport::Tcp).await;
        }
        let Some(found) = found else { return Answer::code(ResponseCode::ServFail) };
        let mut answer = forwarded(found);
        answer.authoritative &= !is_alias;
        answer.authentic &= !is_alias;
        chain.append(&mut answer.answers);
        Answer { answers: chain, ..answer }
    }

    fn denial(&self, code: ResponseCode, answers: Vec<Record>) -> Answer {
        let authorities = vec![self.zone.borrow().authority()];
        Answer { code, authoritative: true, answers, authorities, ..Answer::default() }
    }

    /// Every address is the first for some client.
    fn turned(&self, record_type: RecordType, mut records: Vec<Record>) -> Vec<Record> {
        if matches!(record_type, RecordType::A | RecordType::AAAA) {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % records.len();
            records.rotate_left(turn);
        }
        records
    }
}

fn forwarded(message: Message) -> Answer {
    Answer {
        code: message.metadata.response_code,
        authoritative: message.metadata.authoritative,
        authentic: message.metadata.authentic_data,
        truncated: message.metadata.truncation,
        answers: message.answers,
        authorities: message.authorities,
        additionals: message.additionals,
    }
}
