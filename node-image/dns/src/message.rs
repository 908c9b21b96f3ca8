//! Questions from the wire and answers to it. Only one plain question to a message; what is not
//! one is refused, and what is not even a query gets no answer.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Longest query that is read. A name has at most 255 bytes; the rest is room for EDNS options.
pub(crate) const QUERY_BYTES_MAX: usize = 4096;
/// Largest datagram that passes every network in fragments of none (<https://dnsflagday.net/2020/>).
pub(crate) const DATAGRAM_BYTES_MAX: u16 = 1232;
/// Largest datagram for a client that does not speak EDNS.
const PLAIN_DATAGRAM_BYTES_MAX: u16 = 512;

/// How a question came; its answer goes back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) metadata: Metadata,
    pub(crate) query: Query,
    pub(crate) edns: Option<Edns>,
    pub(crate) transport: Transport,
}

/// What to say, apart from the question it answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) authentic: bool,
    pub(crate) truncated: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

impl Answer {
    /// An answer that is only a code.
    pub(crate) fn code(code: ResponseCode) -> Answer {
        Answer { code, ..Answer::default() }
    }
}

impl Request {
    /// Reads a question; an error is the refusal to send, if any.
    pub(crate) fn read(bytes: &[u8], transport: Transport) -> Result<Request, Option<Vec<u8>>> {
        let header = Header::read(&mut BinDecoder::new(bytes)).map_err(|_| None)?;
        // An answer to an answer could go on for ever.
        if header.metadata.message_type == MessageType::Response {
            return Err(None);
        }
        let refused = |code| Err(refusal(&header.metadata, code));
        if header.metadata.op_code != OpCode::Query {
            return refused(ResponseCode::NotImp);
        }
        // Looked at first: a message that claims thousands of questions is not worth the memory.
        if header.counts.queries != 1 {
            return refused(ResponseCode::FormErr);
        }
        let Ok(message) = Message::from_vec(bytes) else {
            return refused(ResponseCode::FormErr);
        };
        let Some(query) = message.queries.into_iter().next() else {
            return refused(ResponseCode::FormErr);
        };
        Ok(Request { metadata: header.metadata, query, edns: message.edns, transport })
    }

    /// The code that refuses a question which is well formed but not served.
    pub(crate) fn refused(&self) -> Option<ResponseCode> {
        if self.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(ResponseCode::BADVERS);
        }
        let transfer = matches!(self.query.query_type, RecordType::AXFR | RecordType::IXFR);
        let refused = transfer || self.query.query_class != DNSClass::IN;
        refused.then_some(ResponseCode::Refused)
    }

    /// Whether the client wants signatures.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
    }

    /// The answer on the wire, cut to what the client takes.
    pub(crate) fn reply(&self, answer: Answer) -> Option<Vec<u8>> {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.metadata.authoritative = answer.authoritative;
        message.metadata.authentic_data = answer.authentic;
        message.metadata.truncation = answer.truncated;
        message.metadata.response_code = answer.code;
        message.queries = vec![self.query.clone()];
        message.answers = answer.answers;
        message.authorities = answer.authorities;
        message.additionals = answer.additionals;
        message.edns = self.edns.as_ref().map(|_| edns(self.dnssec_ok()));
        fit(message, self.reply_bytes_max())
    }

    fn reply_bytes_max(&self) -> usize {
        let datagram = self.edns.as_ref().map_or(PLAIN_DATAGRAM_BYTES_MAX, Edns::max_payload);
        let limit = match self.transport {
            Transport::Tcp => u16::MAX,
            Transport::Udp => datagram.clamp(PLAIN_DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX),
        };
        limit.into()
    }
}

/// Our side of EDNS.
pub(crate) fn edns(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM_BYTES_MAX).set_dnssec_ok(dnssec_ok);
    edns
}

fn refusal(request: &Metadata, code: ResponseCode) -> Option<Vec<u8>> {
    let mut message = Message::response(request.id, request.op_code);
    message.metadata = Metadata::response_from_request(request);
    message.metadata.response_code = code;
    message.to_vec().ok()
}

/// Leaves out what the client can do without, then as many answers as must be.
fn fit(mut message: Message, bytes_max: usize) -> Option<Vec<u8>> {
    let bytes = message.to_vec().ok()?;
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    message.additionals.clear();
    loop {
        let bytes = message.to_vec().ok()?;
        if bytes.len() <= bytes_max {
            return Some(bytes);
        }
        message.metadata.truncation = true;
        message.authorities.clear();
        if message.answers.is_empty() {
            return None;
        }
        message.answers.truncate(message.answers.len() / 2);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::{Name, RData};

    use super::*;

    fn question() -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        let name = Name::from_ascii("kubernetes.default.svc.cluster.local.").unwrap();
        message.add_query(Query::query(name, RecordType::A));
        message
    }

    /// The code of the refusal, or None where nothing is said.
    fn refused(message: &Message) -> Option<ResponseCode> {
        let refusal = Request::read(&message.to_vec().unwrap(), Transport::Udp).unwrap_err();
        let refusal = Message::from_vec(&refusal?).unwrap();
        assert_eq!(
            (refusal.metadata.id, refusal.metadata.message_type),
            (7, MessageType::Response)
        );
        Some(refusal.metadata.response_code)
    }

    #[test]
    fn what_is_no_question() {
        assert_eq!(refused(&question().into_response()), None);
        let mut update = question();
        update.metadata.op_code = OpCode::Update;
        assert_eq!(refused(&update), Some(ResponseCode::NotImp));
        let mut two = question();
        two.add_query(two.queries[0].clone());
        assert_eq!(refused(&two), Some(ResponseCode::FormErr));
        let mut none = question();
        none.queries.clear();
        assert_eq!(refused(&none), Some(ResponseCode::FormErr));
    }

    #[test]
    fn damaged_messages_are_refused() {
        let whole = question().to_vec().unwrap();
        for length in 0..whole.len() {
            let refusal = Request::read(&whole[..length], Transport::Udp).unwrap_err();
            assert_eq!(refusal.is_some(), length >= 12, "{length} bytes");
        }
        for position in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut damaged = whole.clone();
                damaged[position] = byte;
                if let Ok(request) = Request::read(&damaged, Transport::Udp) {
                    assert!(request.reply(Answer::default()).is_some());
                }
            }
        }
    }

    #[test]
    fn services_that_are_not_offered() {
        let check = |change: &dyn Fn(&mut Message), expect: Option<ResponseCode>| {
            let mut message = question();
            change(&mut message);
            let request = Request::read(&message.to_vec().unwrap(), Transport::Tcp).unwrap();
            assert_eq!(request.refused(), expect);
        };
        check(&|_| (), None);
        check(&|m| m.queries[0].query_type = RecordType::AXFR, Some(ResponseCode::Refused));
        check(&|m| m.queries[0].query_class = DNSClass::CH, Some(ResponseCode::Refused));
        let newer = |m: &mut Message| {
            m.set_edns(Edns::new().set_version(1).clone());
        };
        check(&newer, Some(ResponseCode::BADVERS));
    }

    #[test]
    fn answers_fit_the_client() {
        let record = |i: u32| {
            let name = question().queries[0].name.clone();
            Record::from_rdata(name, 5, RData::A(Ipv4Addr::from(0x0af4_0000 + i).into()))
        };
        let check = |payload: Option<u16>, transport, records: u32, expect: (usize, bool)| {
            let mut message = question();
            message.edns = payload.map(|payload| Edns::new().set_max_payload(payload).clone());
            let request = Request::read(&message.to_vec().unwrap(), transport).unwrap();
            let answers = (0..records).map(record).collect();
            let bytes = request.reply(Answer { answers, ..Answer::default() }).unwrap();
            assert!(bytes.len() <= request.reply_bytes_max());
            let reply = Message::from_vec(&bytes).unwrap();
            assert_eq!((reply.answers.len(), reply.metadata.truncation), expect);
            assert_eq!(reply.edns.is_some(), payload.is_some());
        };
        check(None, Transport::Udp, 20, (20, false));
        check(None, Transport::Udp, 100, (25, true));
        check(Some(1232), Transport::Udp, 70, (70, false));
        check(Some(65535), Transport::Udp, 100, (50, true));
        check(None, Transport::Tcp, 1300, (1300, false));
        check(None, Transport::Tcp, 5000, (1341, true));
    }
}
