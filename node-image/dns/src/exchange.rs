//! One question put to the node's resolvers, over the transport it came by.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::cache::Asked;
use crate::message::{Transport, edns};

/// One resolver's time for one try.
const TRY_MAX: Duration = Duration::from_secs(2);
/// The time for all of them; clients give up at five seconds.
const EXCHANGE_MAX: Duration = Duration::from_millis(4500);
const ROUNDS_MAX: usize = 2;
/// Room for datagrams of resolvers that send more than they were offered.
const DATAGRAM_ROOM_BYTES: usize = 4096;

/// The first resolver's answer that is no failure, else a failure that one told. None when no
/// resolver answers.
pub(crate) async fn exchange(
    upstreams: &[SocketAddr],
    asked: &Asked,
    transport: Transport,
) -> Option<Message> {
    let end = Instant::now() + EXCHANGE_MAX;
    let mut failure = None;
    for upstream in upstreams.iter().cycle().take(upstreams.len() * ROUNDS_MAX) {
        let question = question(asked);
        let now = Instant::now();
        if now >= end {
            break;
        }
        let attempt = async {
            match transport {
                Transport::Udp => over_udp(*upstream, &question).await,
                Transport::Tcp => over_tcp(*upstream, &question).await,
            }
        };
        match timeout_at(end.min(now + TRY_MAX), attempt).await {
            Ok(Ok(answer)) if is_failure(&answer) => failure = Some(answer),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%upstream, %error, "a resolver cannot be asked"),
            Err(_late) => tracing::debug!(%upstream, "a resolver does not answer"),
        }
    }
    failure
}

fn is_failure(answer: &Message) -> bool {
    matches!(answer.metadata.response_code, ResponseCode::ServFail | ResponseCode::Refused)
}

/// Options are between neighbours: the client's own are not passed on.
fn question(asked: &Asked) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = asked.recursion_desired;
    message.metadata.checking_disabled = asked.checking_disabled;
    message.add_query(asked.query.clone());
    message.edns = asked.edns.then(|| edns(asked.dnssec_ok));
    message
}

async fn over_udp(upstream: SocketAddr, question: &Message) -> io::Result<Message> {
    let any: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket of its own: its random port is half of what tells the answer from a forgery.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(upstream).await?;
    socket.send(&encoded(question)?).await?;
    let mut buffer = vec![0; DATAGRAM_ROOM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = answer_to(question, &buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(upstream: SocketAddr, question: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(upstream).await?;
    let bytes = encoded(question)?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    answer_to(question, &bytes).ok_or_else(|| io::Error::other("not an answer to the question"))
}

fn encoded(question: &Message) -> io::Result<Vec<u8>> {
    question.to_vec().map_err(io::Error::other)
}

fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let metadata = &answer.metadata;
    // A resolver that does not understand a question may leave it out of its refusal.
    let unasked = answer.queries.is_empty() && metadata.response_code != ResponseCode::NoError;
    let ours = metadata.message_type == MessageType::Response
        && metadata.id == question.metadata.id
        && (answer.queries == question.queries || unasked);
    ours.then_some(answer)
}
