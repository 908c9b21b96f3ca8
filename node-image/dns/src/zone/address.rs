//! Addresses that are written in names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

/// The address in a pod's name: `10-244-0-7`, `fd00--7`.
pub(super) fn of_pod(label: &str) -> Option<IpAddr> {
    let dotted = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let colons = || label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6);
    // Only digits, letters and dashes: `::1.2.3.4` has no such name.
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| dotted.or_else(|_| colons()).ok())?
}

/// The address in a name under `in-addr.arpa` or `ip6.arpa`; None for a name of a range.
pub(super) fn of_reverse_name(name: &Name) -> Option<IpAddr> {
    let range = name.parse_arpa_name().ok()?;
    (range.prefix_len() == range.max_prefix_len()).then_some(range.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pods() {
        let check = |label: &str, expect: Option<&str>| {
            assert_eq!(of_pod(label), expect.map(|text| text.parse().unwrap()), "{label}");
        };
        check("10-244-0-7", Some("10.244.0.7"));
        check("fd00--7", Some("fd00::7"));
        check("fd00-0-0-0-0-0-0-7", Some("fd00::7"));
        check("1--2", Some("1::2"));
        check("10-244-0", None);
        check("10-244-0-777", None);
        check("10.244.0.7", None);
        check("web", None);
        check("", None);
    }

    #[test]
    fn reverse_names() {
        let check = |name: &str, expect: Option<&str>| {
            let found = of_reverse_name(&Name::from_ascii(name).unwrap());
            assert_eq!(found, expect.map(|text| text.parse().unwrap()), "{name}");
        };
        check("10.0.96.10.in-addr.arpa.", Some("10.96.0.10"));
        check("10.0.96.10.IN-ADDR.ARPA.", Some("10.96.0.10"));
        check("96.10.in-addr.arpa.", None);
        check("1.10.0.96.10.in-addr.arpa.", None);
        check("300.0.96.10.in-addr.arpa.", None);
        check("example.com.", None);
        let zeros = "0.".repeat(23);
        check(&format!("7.0.0.0.{zeros}0.0.d.f.ip6.arpa."), None);
        check(&format!("7.{zeros}0.0.0.0.0.0.d.f.ip6.arpa."), Some("fd00::7"));
    }
}
