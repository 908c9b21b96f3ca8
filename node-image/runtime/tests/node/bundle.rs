//! A container's specification as the OCI has it, and other runtimes that run it.

use std::path::Path;
use std::process::{Command, Stdio};

use kd_runtime::{ContainerSpec, Device, Seccomp};
use serde_json::{Value, json};

use super::Node;

/// Debian's.
pub const REFERENCES: [&str; 2] = ["runc", "crun"];

/// A system call filter, as profiles and specifications have it.
pub const FILTER: &str = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
    "syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":30}]}"#;

/// The first of them that is not installed.
pub fn missing() -> Option<&'static str> {
    let absent = |program: &&str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err()
    };
    REFERENCES.into_iter().find(absent)
}

/// A program where there is no v2 hierarchy beside those of v1, which crun refuses.
pub fn wrapped(program: &str) -> Command {
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec timeout 60 \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", program]).stdin(Stdio::null());
    command
}

/// Creates, starts and deletes a container by another runtime; what it has printed.
pub fn reference(program: &str, bundle: &Path) -> String {
    let id = format!("kd-differential-{}", std::process::id());
    let mut command = wrapped(program);
    command.arg("--root").arg(bundle.join("state")).args(["run", "-b"]).arg(bundle).arg(&id);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with root file system and specification.
pub fn write_bundle(node: &Node, bundle: &Path, spec: &ContainerSpec) {
    let _ = std::fs::remove_dir_all(bundle);
    let root = bundle.join("rootfs");
    std::fs::create_dir_all(&root).unwrap();
    for layer in ["layers/bottom", "layers/top"] {
        let from = node.path(layer).join(".");
        let copied = Command::new("cp").arg("-a").arg(from).arg(&root).status().unwrap();
        assert!(copied.success());
    }
    let config = serde_json::to_vec_pretty(&specification(spec)).unwrap();
    std::fs::write(bundle.join("config.json"), config).unwrap();
}

/// A container as the OCI specification has it, with what CRI runtimes put into it.
fn specification(spec: &ContainerSpec) -> Value {
    let security = &spec.security;
    let (uid, gid) = (security.run_as_user.unwrap_or(0), security.run_as_group.unwrap_or(0));
    let mut groups = security.supplemental_groups.clone();
    groups.push(gid);
    groups.sort_unstable();
    let capabilities = capabilities(spec);
    // What is permitted to others than root is gone with the change of the user.
    let mut environment = vec!["PATH=/bin".to_owned(), "HOSTNAME=pod".into(), "FROM=image".into()];
    environment.extend(spec.env.iter().map(|(name, value)| format!("{name}={value}")));
    let home = if uid == 101 {
        "/srv/web"
    } else if uid == 0 {
        "/root"
    } else {
        "/"
    };
    environment.push(format!("HOME={home}"));
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let namespaces = namespaces.map(|kind| json!({"type": kind}));
    let hidden = |paths: &[&str]| match security.unmasked_proc {
        true => Vec::new(),
        false => paths.iter().map(|path| path.to_string()).collect(),
    };
    let filter: Value = match &security.seccomp {
        Seccomp::Localhost(_) => serde_json::from_str(FILTER).unwrap(),
        _ => Value::Null,
    };
    json!({
        "ociVersion": "1.0.2",
        "hostname": "pod",
        "root": {"path": "rootfs", "readonly": security.read_only_root},
        "process": {
            "terminal": false,
            "user": {"uid": uid, "gid": gid, "additionalGids": groups},
            "args": spec.command,
            "env": environment,
            "cwd": if spec.working_dir.is_empty() { "/" } else { &spec.working_dir },
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities
            },
            "noNewPrivileges": security.no_new_privileges,
            "oomScoreAdj": spec.resources.oom_score_adj,
        },
        "mounts": mounts(spec),
        "linux": {
            "namespaces": namespaces,
            "resources": resources(spec),
            "devices": devices(spec),
            "sysctl": {
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": "0 2147483647",
                "net.ipv4.ip_forward": "1",
            },
            "seccomp": filter,
            "maskedPaths": hidden(MASKED),
            "readonlyPaths": hidden(READ_ONLY),
        }
    })
}

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn capabilities(spec: &ContainerSpec) -> Vec<String> {
    let default = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW \
                   SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";
    let kept = !spec.security.drop_capabilities.iter().any(|name| name == "ALL");
    let mut names: Vec<&str> = default.split_whitespace().filter(|_| kept).collect();
    names.extend(spec.security.add_capabilities.iter().map(String::as_str));
    names.iter().map(|name| format!("CAP_{name}")).collect()
}

fn mounts(spec: &ContainerSpec) -> Vec<Value> {
    let quiet = ["nosuid", "noexec", "nodev"];
    let kernel = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let mut all = vec![
        kernel("/proc", "proc", &quiet),
        kernel("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        kernel(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        kernel("/dev/mqueue", "mqueue", &quiet),
        kernel("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        kernel("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        kernel("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    for mount in &spec.mounts {
        let mode = if mount.read_only { "ro" } else { "rw" };
        all.push(json!({
            "destination": mount.target, "type": "bind", "source": mount.source,
            "options": ["rbind", "rprivate", mode]
        }));
    }
    all
}

fn resources(spec: &ContainerSpec) -> Value {
    let asked = &spec.resources;
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    if !spec.devices.is_empty() {
        rules.push(json!({"allow": true, "type": "c", "major": 1, "minor": 5, "access": "r"}));
    }
    json!({
        "devices": rules,
        "memory": {"limit": asked.memory_limit_bytes, "swap": asked.memory_limit_bytes},
        "cpu": {"shares": asked.cpu_shares, "quota": asked.cpu_quota_us, "period": asked.cpu_period_us},
        "pids": asked.pids_limit.map(|limit| json!({"limit": limit})),
    })
}

fn devices(spec: &ContainerSpec) -> Vec<Value> {
    let device = |device: &Device| {
        json!({"path": device.container_path, "type": "c", "major": 1, "minor": 5,
            "fileMode": 0o666, "uid": 0, "gid": 0})
    };
    spec.devices.iter().map(device).collect()
}
