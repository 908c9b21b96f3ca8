//! Who has a port of this machine, for the message that it is taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// `nginx (process 123)`, when the kernel tells: only one's own processes, or all of them as root.
pub fn of(port: u16, is_udp: bool) -> Option<String> {
    let tables = if is_udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let read = |table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let inodes: BTreeSet<String> =
        tables.into_iter().flat_map(|table| listening(&read(table), port, is_udp)).collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holder = numbers.find(|number| holds(*number, &links))?;
    let name = fs::read_to_string(format!("/proc/{holder}/comm")).ok()?;
    Some(format!("{} (process {holder})", name.trim()))
}

fn holds(process: u32, links: &[String]) -> bool {
    let Ok(files) = fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path());
        target.is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    })
}

/// The sockets of `/proc/net/tcp` and its sisters that wait on a port.
fn listening(table: &str, port: u16, is_udp: bool) -> Vec<String> {
    // TCP_LISTEN; datagrams have no connections, and are all in state 7.
    let state = if is_udp { "07" } else { "0A" };
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, own) = words.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(own, 16) == Ok(port) && *words.get(3)? == state;
        is_it.then(|| words.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(listening(table, 8080, false), ["4711"]);
        assert!(listening(table, 8081, false).is_empty());
    }

    #[test]
    fn this_process_holds_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = of(port, false).unwrap_or_default();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    }
}
