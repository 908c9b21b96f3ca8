//! The resolver file for pods that use the node's own resolvers (`dnsPolicy: Default`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kd_contract::RUN_DIRECTORY;

use crate::error::{Error, Result};

/// Writes the file for pods and returns its path.
pub(crate) fn write(node_file: &Path, node: Option<IpAddr>) -> Result<PathBuf> {
    let text = std::fs::read_to_string(node_file)
        .map_err(Error::of(format!("read {}", node_file.display())))?;
    let path = Path::new(RUN_DIRECTORY).join("resolv.conf");
    std::fs::write(&path, for_pods(&text, node))
        .map_err(Error::of(format!("write {}", path.display())))?;
    Ok(path)
}

/// The node's file with the node's own DNS in the place of resolvers on its loopback, such as
/// Docker's 127.0.0.11: no pod reaches those.
fn for_pods(text: &str, node: Option<IpAddr>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = match (is_loopback(line), node) {
            (true, Some(node)) => format!("nameserver {node}"),
            _ => line.to_owned(),
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn is_loopback(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let server = (words.next() == Some("nameserver")).then(|| words.next()).flatten();
    let address = server.and_then(|server| server.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_not_for_pods() {
        let check = |text: &str, expect: &str| {
            assert_eq!(for_pods(text, Some("172.18.0.2".parse().unwrap())), expect);
        };
        check(
            "# Docker\nnameserver 127.0.0.11\nsearch example.com\noptions ndots:0\n",
            "# Docker\nnameserver 172.18.0.2\nsearch example.com\noptions ndots:0\n",
        );
        check("nameserver 127.0.0.53\nnameserver ::1\n", "nameserver 172.18.0.2\n");
        check("nameserver 192.0.2.1", "nameserver 192.0.2.1\n");
        assert_eq!(for_pods("nameserver 127.0.0.11\n", None), "nameserver 127.0.0.11\n");
    }
}
