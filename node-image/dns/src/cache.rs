//! Answers of the node's resolvers, remembered for as long as they say, within bounds.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{RData, Record};
use tokio::time::Instant;

const ANSWERS_MAX: usize = 2000;
/// Longer answers are not kept.
const RECORDS_MAX: usize = 64;
/// No answer is kept longer, whatever it says: pods see changes outside soon.
const KEPT_MAX: Duration = Duration::from_secs(30);

/// What was asked, as far as the answer may depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) query: Query,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) edns: bool,
    pub(crate) dnssec_ok: bool,
}

/// A question and who is asked: other resolvers have other answers, those of a VPN for example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) upstreams: Vec<SocketAddr>,
}

/// Answers by question.
#[derive(Default)]
pub(crate) struct Cache {
    answers: HashMap<Arc<Question>, Kept>,
    /// The same, the soonest to end first.
    ends: BTreeMap<(Instant, u64), Arc<Question>>,
    next_place: u64,
}

struct Kept {
    message: Arc<Message>,
    since: Instant,
    until: Instant,
    place: u64,
}

impl Cache {
    /// The answer that is still true, its records aged.
    pub(crate) fn get(&self, question: &Question, now: Instant) -> Option<Message> {
        let kept = self.answers.get(question).filter(|kept| now < kept.until)?;
        let mut message = Message::clone(&kept.message);
        let seconds = u32::try_from((now - kept.since).as_secs()).unwrap_or(u32::MAX);
        let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(seconds);
        }
        Some(message)
    }

    /// Keeps an answer if that is allowed; the one that ends soonest makes room.
    pub(crate) fn insert(&mut self, question: Question, message: Arc<Message>, now: Instant) {
        let Some(lifetime) = lifetime(&message) else { return };
        self.remove(&question);
        if self.answers.len() >= ANSWERS_MAX
            && let Some((_, soonest)) = self.ends.pop_first()
        {
            self.remove(&soonest);
        }
        let (question, place, until) = (Arc::new(question), self.next_place, now + lifetime);
        self.next_place += 1;
        self.ends.insert((until, place), question.clone());
        self.answers.insert(question, Kept { message, since: now, until, place });
    }

    fn remove(&mut self, question: &Question) {
        let Some(kept) = self.answers.remove(question) else { return };
        self.ends.remove(&(kept.until, kept.place));
    }
}

/// How long an answer holds: as long as its shortest-lived record; that something does not exist, as
/// its zone says (RFC 2308). None for what must not be kept.
fn lifetime(message: &Message) -> Option<Duration> {
    let count = message.answers.len() + message.authorities.len() + message.additionals.len();
    if message.metadata.truncation || count > RECORDS_MAX {
        return None;
    }
    let seconds = match message.metadata.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => {
            message.all_sections().map(|record| record.ttl).min()?
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            message.authorities.iter().find_map(denial_seconds)?
        }
        _ => return None,
    };
    let lifetime = Duration::from_secs(seconds.into()).min(KEPT_MAX);
    (!lifetime.is_zero()).then_some(lifetime)
}

fn denial_seconds(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::SOA;
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    fn asked(name: &str) -> Question {
        let asked = Asked {
            query: Query::query(Name::from_ascii(name).unwrap(), RecordType::A),
            recursion_desired: true,
            checking_disabled: false,
            edns: false,
            dnssec_ok: false,
        };
        Question { asked, upstreams: vec!["192.0.2.53:53".parse().unwrap()] }
    }

    fn answer(ttl: u32) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        let data = RData::A(Ipv4Addr::new(192, 0, 2, 1).into());
        message.add_answer(Record::from_rdata(Name::root(), ttl, data));
        message
    }

    fn denial(code: ResponseCode, ttl: u32, minimum: u32) -> Message {
        let mut message = Message::error_msg(1, OpCode::Query, code);
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, minimum);
        message.add_authority(Record::from_rdata(Name::root(), ttl, RData::SOA(soa)));
        message
    }

    #[test]
    fn lifetimes() {
        let check = |message: Message, seconds: Option<u64>| {
            assert_eq!(lifetime(&message), seconds.map(Duration::from_secs), "{message}");
        };
        check(answer(7), Some(7));
        check(answer(86400), Some(30));
        check(answer(0), None);
        let mut two = answer(9);
        two.add_answer(answer(4).answers.remove(0));
        check(two, Some(4));
        let mut truncated = answer(9);
        truncated.metadata.truncation = true;
        check(truncated, None);
        check(denial(ResponseCode::NXDomain, 20, 10), Some(10));
        check(denial(ResponseCode::NoError, 5, 10), Some(5));
        check(denial(ResponseCode::ServFail, 20, 10), None);
        check(Message::error_msg(1, OpCode::Query, ResponseCode::NXDomain), None);
        let mut long = answer(9);
        long.additionals = vec![long.answers[0].clone(); RECORDS_MAX];
        check(long, None);
    }

    #[test]
    fn answers_age_and_end() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.insert(asked("a.example."), Arc::new(answer(10)), now);
        let later = now + Duration::from_secs(4);
        assert_eq!(cache.get(&asked("A.Example."), later).unwrap().answers[0].ttl, 6);
        assert!(cache.get(&asked("b.example."), later).is_none());
        let mut signed = asked("a.example.");
        signed.asked.dnssec_ok = true;
        assert!(cache.get(&signed, later).is_none());
        let of_others = Question { upstreams: Vec::new(), ..asked("a.example.") };
        assert!(cache.get(&of_others, later).is_none());
        assert!(cache.get(&asked("a.example."), now + Duration::from_secs(10)).is_none());
    }

    #[test]
    fn bounded() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for i in 0..ANSWERS_MAX as u32 + 10 {
            let answer = Arc::new(answer(if i < 5 { 1 } else { 20 }));
            cache.insert(asked(&format!("{i}.example.")), answer.clone(), now);
            cache.insert(asked(&format!("{i}.example.")), answer, now);
        }
        assert_eq!((cache.answers.len(), cache.ends.len()), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(cache.get(&asked("3.example."), now).is_none());
        assert!(cache.get(&asked("2009.example."), now).is_some());
    }
}
