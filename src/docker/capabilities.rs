//! Which Linux capabilities the engine itself lacks: a container that asks for one of them does
//! not start, which is why `--privileged` cannot be used everywhere.

/// The kernel's capabilities in the order of their numbers.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Asks the kernel about the process at the other end of the engine's socket. An engine in a
/// virtual machine or on another host is taken to have everything.
pub async fn lacking(socket: Option<&str>) -> Vec<String> {
    let Some(socket) = socket else { return Vec::new() };
    match engine_bounding_set(socket).await {
        Some(bounding_set) => missing(bounding_set, last_capability()),
        None => Vec::new(),
    }
}

#[cfg(target_os = "linux")]
async fn engine_bounding_set(socket: &str) -> Option<u64> {
    let stream = tokio::net::UnixStream::connect(socket).await.ok()?;
    let process = stream.peer_cred().ok()?.pid()?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    bounding_set(&status)
}

#[cfg(not(target_os = "linux"))]
async fn engine_bounding_set(_socket: &str) -> Option<u64> {
    None
}

fn bounding_set(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Older kernels know fewer capabilities; engines leave those out of "ALL" by themselves.
fn last_capability() -> usize {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(NAMES.len() - 1)
}

fn missing(bounding_set: u64, last: usize) -> Vec<String> {
    let known = NAMES.iter().enumerate().take(last + 1);
    known
        .filter(|(number, _)| bounding_set & (1 << number) == 0)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing() {
        let full = (1 << NAMES.len()) - 1;
        assert!(missing(full, NAMES.len() - 1).is_empty());
        assert_eq!(missing(full & !(1 << 24), 40), ["SYS_RESOURCE"]);
        assert!(missing(full >> 3, 37).is_empty());
        assert_eq!(bounding_set("Name:\tx\nCapBnd:\t000001fffeffffff\n"), Some(0x1ff_feff_ffff));
        assert_eq!(bounding_set("Name:\tx\n"), None);
    }
}
