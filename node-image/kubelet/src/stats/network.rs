//! Counters of network interfaces, as `/proc/net/dev` of a namespace has them.

/// Counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`
    pub name: String,
    /// Bytes, packets, errors and drops received.
    pub received: [u64; 4],
    /// The same sent.
    pub sent: [u64; 4],
}

/// The interfaces of the namespace that a process is in, but for the loopback.
pub fn interfaces(process: &str) -> Vec<Interface> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev"));
    parse(&text.unwrap_or_default())
}

fn parse(text: &str) -> Vec<Interface> {
    let lines = text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> =
            counters.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let four = |at: usize| Some([0, 1, 2, 3].map(|i| counters.get(at + i).copied()));
        let whole = |part: [Option<u64>; 4]| {
            part.iter().all(Option::is_some).then(|| part.map(|n| n.unwrap_or(0)))
        };
        let interface = Interface {
            name: name.trim().to_owned(),
            received: whole(four(0)?)?,
            sent: whole(four(8)?)?,
        };
        (interface.name != "lo").then_some(interface)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:     100       1    0    0    0     0          0         0      100       1    0    0
  eth0:    2000      20    1    2    0     0          0         0     3000      30    3    4
";
        let expect =
            Interface { name: "eth0".into(), received: [2000, 20, 1, 2], sent: [3000, 30, 3, 4] };
        assert_eq!(parse(text), [expect]);
    }
}
