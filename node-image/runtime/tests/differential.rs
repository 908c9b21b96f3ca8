//! The same containers by ours, by runc and by crun (Debian's): what a container finds out about itself
//! must be the same wherever those two agree. Where they differ from each other, there is a choice.

mod node;

use std::collections::BTreeMap;

use kd_runtime::{ContainerSpec, Device, Mount, Runtime, Seccomp};
use node::bundle::{FILTER, REFERENCES, missing, reference, write_bundle};
use node::{Node, run, shell};

/// What the container tells of itself: lines of `key=value`.
const PROBE: &str = r#"
say() { echo "$1=$(echo "$2" | tr -s ' \t\n' ' ')"; }
say umask "$(umask)"
say id "$(id -u):$(id -g) $(id -G)"
say cwd "$(pwd)"
say hostname "$(hostname)"
for name in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp SigBlk SigIgn; do
  say "status:$name" "$(grep ^$name: /proc/self/status | awk '{ print $2 }')"
done
say oom "$(cat /proc/self/oom_score_adj)"
while read -r name rest; do say "limit:$name ${rest%%  *}" "${rest#*  }"; done < /proc/self/limits
for name in ipc mnt net pid user uts cgroup; do say "ns:$name" "$(readlink /proc/self/ns/$name)"; done
for file in /dev/*; do say "dev:$file" "$(stat -c '%F %t:%T %a %u:%g' $file) $(readlink $file)"; done
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.shares \
  cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us pids/pids.max cpuset/cpuset.cpus; do
  say "cgroup:$file" "$(cat /sys/fs/cgroup/$file 2>/dev/null)"
done
for file in memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus; do
  say "cgroup:$file" "$(cat /sys/fs/cgroup/$file 2>/dev/null)"
done
sort /sys/fs/cgroup/devices/devices.list 2>/dev/null | while read -r line; do echo "device-rule:$line=yes"; done
for file in net/ipv4/ip_unprivileged_port_start net/ipv4/ip_forward kernel/shm_rmid_forced; do
  say "sysctl:$file" "$(cat /proc/sys/$file 2>/dev/null)"
done
for file in /proc/kcore /proc/keys /proc/timer_list; do say "masked:$file" "$(head -c 8 $file | wc -c)"; done
for file in /proc/acpi /proc/scsi /sys/firmware; do say "masked:$file" "$(ls $file 2>/dev/null | wc -l)"; done
for file in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/kernel/profiling /x /dev/x /tmp/x; do
  say "write:$file" "$(touch $file 2>&1 | sed 's/.*: //'; [ -w $file ] && echo yes)"
done
mkdir /made 2>/dev/null && say made yes
say environment "$(env | sort)"
say descriptors "$(ls /proc/self/fd | head -3)"
say stdin "$(cat)"
awk '{ for (i = 1; $i != "-"; i++); print "mount:" $5 "=" $(i + 1) " " $6 }' /proc/self/mountinfo
"#;

type Change = fn(&Node, &mut ContainerSpec);

const CASES: &[(&str, Change)] = &[
    ("plain", |_, _| {}),
    ("a user with groups", |_, spec| {
        spec.security.run_as_user = Some(101);
        spec.security.run_as_group = Some(7);
        spec.security.supplemental_groups = vec![5000];
        spec.security.supplemental_groups_strict = true;
        spec.working_dir = "/tmp".into();
    }),
    ("few capabilities", |_, spec| {
        spec.security.drop_capabilities = vec!["ALL".into()];
        spec.security.add_capabilities = vec!["NET_ADMIN".into(), "CHOWN".into()];
        spec.security.no_new_privileges = true;
    }),
    ("capabilities of a user", |_, spec| {
        spec.security.run_as_user = Some(1000);
        spec.security.run_as_group = Some(1000);
        spec.security.add_capabilities = vec!["NET_ADMIN".into()];
    }),
    ("read-only root", |_, spec| spec.security.read_only_root = true),
    ("unmasked", |_, spec| spec.security.unmasked_proc = true),
    ("limits", |_, spec| {
        spec.resources.memory_limit_bytes = Some(64 << 20);
        spec.resources.cpu_shares = Some(512);
        spec.resources.cpu_quota_us = Some(50_000);
        spec.resources.cpu_period_us = Some(100_000);
        spec.resources.pids_limit = Some(100);
        spec.resources.oom_score_adj = Some(500);
    }),
    ("volumes", |node, spec| {
        let source = node.path("volume");
        std::fs::create_dir_all(&source).unwrap();
        let mount = |target: &str, read_only: bool| Mount {
            source: source.clone(),
            target: target.into(),
            read_only,
            ..Mount::default()
        };
        spec.mounts =
            vec![mount("/writable", false), mount("/readable", true), mount("/a/b", false)];
    }),
    ("a device", |_, spec| {
        spec.devices = vec![Device {
            host_path: "/dev/zero".into(),
            container_path: "/dev/other".into(),
            permissions: "r".into(),
        }];
    }),
    ("a filter", |node, spec| {
        let profile = node.path("profile.json");
        std::fs::write(&profile, FILTER).unwrap();
        spec.security.seccomp = Seccomp::Localhost(profile);
    }),
];

/// What ours does on purpose although both others do it in another way: key, why.
const CHOSEN: &[(&str, &str)] =
    &[("ns:", "each run has its own; compared apart"), ("mount:/ ", "overlayfs is ours to mount")];

#[test]
fn the_same_as_other_runtimes() {
    if let Some(program) = missing() {
        return eprintln!("skipped: needs {program} (tests/install-tools)");
    }
    run(|node| async move {
        let mut wrong = Vec::new();
        for (name, change) in CASES {
            let mut spec = shell(PROBE);
            spec.env = vec![("A".into(), "b c".into())];
            change(&node, &mut spec);
            let bundle = node.path("bundle");
            write_bundle(&node, &bundle, &spec);
            let [runc, crun] = REFERENCES.map(|program| parse(&reference(program, &bundle)));
            spec.name = name.replace(' ', "-");
            let ours = parse(&ours(&node, spec).await);
            wrong.extend(differences(name, &ours, &runc, &crun));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

fn differences(
    case: &str,
    ours: &BTreeMap<String, String>,
    runc: &BTreeMap<String, String>,
    crun: &BTreeMap<String, String>,
) -> Vec<String> {
    assert!(runc.len() > 50, "{case}: runc told {runc:?}");
    assert!(crun.len() > 50, "{case}: crun told {crun:?}");
    let keys: std::collections::BTreeSet<&String> =
        ours.keys().chain(runc.keys()).chain(crun.keys()).collect();
    let chosen = |key: &str| CHOSEN.iter().any(|(start, _)| format!("{key} ").starts_with(start));
    let mut wrong = Vec::new();
    for key in keys.into_iter().filter(|key| !chosen(key)) {
        let [ours, runc, crun] = [ours, runc, crun].map(|map| map.get(key));
        if runc == crun && ours != runc {
            wrong.push(format!("{case}: {key}: ours {ours:?}, theirs {runc:?}"));
        }
    }
    let host = |name: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        link.to_string_lossy().into_owned()
    };
    for name in ["ipc", "mnt", "net", "pid", "user", "uts", "cgroup"] {
        let shared =
            [ours, runc, crun].map(|map| map.get(&format!("ns:{name}")) == Some(&host(name)));
        if shared[0] != shared[1] {
            wrong.push(format!("{case}: namespace {name}: shared with the node: {shared:?}"));
        }
    }
    wrong
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        // Of mounts, what they allow; who is on top wins.
        let value = match key.starts_with("mount:") {
            true => {
                let (kind, options) = value.split_once(' ').unwrap_or((value, ""));
                let told = |option: &&str| matches!(*option, "ro" | "nosuid" | "nodev" | "noexec");
                let mut options: Vec<&str> = options.split(',').filter(told).collect();
                options.sort_unstable();
                format!("{kind} {}", options.join(","))
            }
            false => value.to_owned(),
        };
        found.insert(key.to_owned(), value);
    }
    found
}

async fn ours(node: &Node, spec: ContainerSpec) -> String {
    let mut sandbox = node.sandbox_spec();
    sandbox.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
    let sandbox = node.runtime.create_sandbox(sandbox).await.unwrap().id;
    let id = node.start_in(&sandbox, spec).await;
    node.exit(&id).await;
    let log = node.log(&id).await;
    node.runtime.remove_sandbox(&sandbox).await.unwrap();
    log
}
