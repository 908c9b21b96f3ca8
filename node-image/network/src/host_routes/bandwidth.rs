//! A limit of what a link sends: a token bucket as its queue (`tc qdisc add … root tbf`, see tc-tbf(8)).

use futures::StreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

use crate::{Error, Result};

/// A burst is what may pass in this part of a second.
const BURST_PER_SECOND: u64 = 20;
/// The least burst: a few packets must fit.
const BURST_BYTES_MIN: u64 = 16 << 10;
/// Packets wait this part of a second at most; later ones are dropped.
const QUEUE_PER_SECOND: u64 = 40;

/// Limits a link to so many bits per second.
pub(super) async fn limit(netlink: &Handle, link: u32, bits: u64) -> Result<()> {
    let mut message = TcMessage::with_index(link as i32);
    message.header.parent = TcHandle::ROOT;
    message.header.handle = TcHandle { major: 1, minor: 0 };
    message.attributes = vec![
        TcAttribute::Kind("tbf".into()),
        TcAttribute::Options(options(bits).into_iter().map(TcOption::Other).collect()),
    ];
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    let operation = format!("limit a link to {bits} bits per second");
    let mut netlink = netlink.clone();
    let mut answers = netlink.request(request).map_err(Error::netlink(&operation))?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(refusal) = answer.payload
            && refusal.code.is_some()
        {
            return Err(Error { operation, source: refusal.to_io() });
        }
    }
    Ok(())
}

/// `TCA_TBF_*` of the kernel's `pkt_sched.h`.
fn options(bits: u64) -> [DefaultNla; 3] {
    const PARAMETERS: u16 = 1;
    const RATE64: u16 = 4;
    const BURST: u16 = 6;
    const RATESPEC_LENGTH: usize = 12;
    let rate = (bits / 8).max(1);
    let burst = (rate / BURST_PER_SECOND).max(BURST_BYTES_MIN);
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let limit = small(burst.saturating_add(rate / QUEUE_PER_SECOND));
    // Two rates, of which the second is a peak that there is none of, then limit, buffer, MTU.
    let mut parameters = vec![0; RATESPEC_LENGTH];
    parameters[RATESPEC_LENGTH - 4..].copy_from_slice(&small(rate).to_ne_bytes());
    parameters.resize(2 * RATESPEC_LENGTH, 0);
    for number in [limit, 0, 0] {
        parameters.extend_from_slice(&number.to_ne_bytes());
    }
    [
        DefaultNla::new(PARAMETERS, parameters),
        DefaultNla::new(RATE64, rate.to_ne_bytes().to_vec()),
        DefaultNla::new(BURST, small(burst).to_ne_bytes().to_vec()),
    ]
}
