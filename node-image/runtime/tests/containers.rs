//! Containers as the kubelet uses them: life, logs, exit codes, errors, recovery.

mod node;

use std::time::Duration;

use kd_runtime::{ContainerState, Error, Resources, Runtime};
use node::{exit_of, kill_shims, run, shell};

#[test]
fn runs_and_logs() {
    run(|node| async move {
        let id = node.start(shell("echo out; echo err >&2; printf tail; exit 3")).await;
        let exit = node.exit(&id).await;
        assert_eq!((exit.code, exit.signal, exit.oom_killed, exit.error), (3, None, false, None));
        let status = node.runtime.container(&id).await.unwrap();
        let log = std::fs::read_to_string(&status.log_path).unwrap();
        let mut lines: Vec<String> =
            log.lines().map(|l| l.split_once(' ').unwrap().1.to_owned()).collect();
        lines.sort();
        assert_eq!(lines, ["stderr F err", "stdout F out", "stdout P tail"]);
        assert!(status.log_path.ends_with("main/0.log"));
        assert_eq!(status.user.unwrap().uid, 0);
    });
}

#[test]
fn sees_its_own_world() {
    run(|node| async move {
        let script = "cat /proc/1/comm; hostname; echo $HOME $FROM $HOSTNAME; pwd; cat /top; \
                      ls /dev/null /dev/pts/ptmx /dev/shm -d; ls -d /sys/kernel; \
                      cat /proc/self/cgroup | grep -c ':/$'; \
                      touch /sys/x 2>/dev/null || echo ro; ls /proc/kcore -l | wc -l; \
                      echo > /proc/sys/kernel/domainname 2>/dev/null || echo ro";
        let (code, log) = node.script(script, |spec| spec.working_dir = "/made/here".into()).await;
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(code, 0, "{log}");
        assert_eq!(lines[..5], ["sh", "pod", "/root image pod", "/made/here", "top"], "{log}");
        assert!(lines[8..].contains(&"/sys/kernel"), "{log}");
        assert_eq!(lines.iter().filter(|line| **line == "ro").count(), 2, "{log}");
    });
}

#[test]
fn signal_gives_128_and_more() {
    run(|node| async move {
        let id = node.start(shell("kill -9 $$; sh -c 'kill -TERM $$'; exit $?")).await;
        // The first process of a PID namespace cannot kill itself.
        assert_eq!(node.exit(&id).await.code, 143);
    });
}

#[test]
fn missing_command_is_a_start_error() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let check = async |command: &str, expect: &str| {
            let mut spec = shell("");
            spec.command = vec![command.into()];
            spec.name = format!("c{}", command.len());
            let id = node.runtime.create_container(&sandbox, spec).await.unwrap();
            let error = node.runtime.start_container(&id).await.unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error:?}");
            let prefix = "failed to create containerd task: failed to create shim task: OCI \
                          runtime create failed: runc create failed: unable to start container \
                          process: error during container init: ";
            assert_eq!(error.to_string(), format!("{prefix}{expect}: unknown"));
            let exit = node.exit(&id).await;
            assert_eq!((exit.code, exit.started_at), (128, None));
            assert_eq!(exit.error, Some(error.to_string()));
        };
        check("nothing", r#"exec: "nothing": executable file not found in $PATH"#).await;
        check("/nowhere", r#"exec: "/nowhere": stat /nowhere: no such file or directory"#).await;
        check("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#).await;
        check("/etc", r#"exec: "/etc": is a directory"#).await;
        check("/proc/self/exe", r#"exec: "/proc/self/exe": permission denied"#).await;
    });
}

#[test]
fn stop_is_graceful_then_not() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let kind = shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done");
        let kind = node.start_in(&sandbox, kind).await;
        wait_for_log(&node, &kind, "up").await;
        node.runtime.stop_container(&kind, Duration::from_secs(10)).await.unwrap();
        assert_eq!(node.exit(&kind).await.code, 7);
        assert!(node.log(&kind).await.contains("bye"));

        let mut stubborn = shell("sleep 1000");
        stubborn.name = "stubborn".into();
        let stubborn = node.start_in(&sandbox, stubborn).await;
        let begun = std::time::Instant::now();
        node.runtime.stop_container(&stubborn, Duration::from_millis(300)).await.unwrap();
        let exit = node.exit(&stubborn).await;
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
        assert!(begun.elapsed() >= Duration::from_millis(300));
        node.runtime.stop_container(&stubborn, Duration::ZERO).await.unwrap();
        node.runtime.stop_sandbox(&sandbox).await.unwrap();
        node.runtime.stop_sandbox(&sandbox).await.unwrap();
    });
}

async fn wait_for_log(node: &node::Node, id: &str, text: &str) {
    let wait = async {
        while !node.log(id).await.contains(text) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(node::WAIT_MAX, wait).await.expect("the line does not come");
}

#[test]
fn memory_limit_kills() {
    run(|node| async move {
        let mut spec = shell("tail /dev/zero; exit $?");
        spec.command = vec!["tail".into(), "/dev/zero".into()];
        spec.resources = Resources { memory_limit_bytes: Some(16 << 20), ..Resources::default() };
        let id = node.start(spec).await;
        let exit = node.exit(&id).await;
        assert_eq!((exit.code, exit.oom_killed), (137, true));
    });
}

#[test]
fn limits_and_use() {
    run(|node| async move {
        let mut spec = shell("sleep 1000");
        spec.resources = Resources {
            cpu_shares: Some(512),
            cpu_quota_us: Some(50_000),
            memory_limit_bytes: Some(64 << 20),
            pids_limit: Some(50),
            ..Resources::default()
        };
        let id = node.start(spec).await;
        let stats = node.runtime.container_stats(&id).await.unwrap();
        assert_eq!(stats.pids, 1, "{stats:?}");
        assert!(stats.memory_usage_bytes > 0 && stats.cpu_usage_ns > 0, "{stats:?}");
        let pods = node.runtime.group_stats("kubepods").await.unwrap();
        assert!(pods.cpu_usage_ns >= stats.cpu_usage_ns, "{pods:?}");
        let group = format!("/sys/fs/cgroup/memory/{}/kubepods/pod1/{id}", node.cgroup_base);
        let limit = || std::fs::read_to_string(format!("{group}/memory.limit_in_bytes"));
        if let Ok(value) = limit() {
            assert_eq!(value.trim(), (64 << 20).to_string());
        }
        let more = Resources { memory_limit_bytes: Some(128 << 20), ..Resources::default() };
        node.runtime.update_resources(&id, more.clone()).await.unwrap();
        if let Ok(value) = limit() {
            assert_eq!(value.trim(), (128 << 20).to_string());
        }
        assert_eq!(node.runtime.container(&id).await.unwrap().spec.resources, more);
    });
}

#[test]
fn log_is_opened_again() {
    run(|node| async move {
        let id = node.start(shell("echo one; cat /fifo >/dev/null 2>&1; read x; echo two")).await;
        let _ = exit_of(&node.runtime, &id).await;
        let mut spec = shell("echo one; while [ ! -e /v/go ]; do sleep 0.02; done; echo two");
        spec.name = "second".into();
        let volume = node.path("volume");
        std::fs::create_dir(&volume).unwrap();
        spec.mounts = vec![kd_runtime::Mount {
            source: volume.clone(),
            target: "/v".into(),
            ..Default::default()
        }];
        let id = node.start(spec).await;
        wait_for_log(&node, &id, "one").await;
        let path = node.runtime.container(&id).await.unwrap().log_path;
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        node.runtime.reopen_log(&id).await.unwrap();
        std::fs::write(volume.join("go"), "").unwrap();
        node.exit(&id).await;
        assert_eq!(node.log(&id).await, "two\n");
    });
}

#[test]
fn restarted_client_finds_everything() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done";
        let id = node.start_in(&sandbox, shell(script)).await;
        wait_for_log(&node, &id, "up").await;
        let mut short = shell("exit 4");
        short.name = "short".into();
        let short = node.start_in(&sandbox, short).await;
        node.exit(&short).await;

        let second = node.reopen().await;
        let found = second.sandbox(&sandbox).await.unwrap();
        assert!(found.ready);
        let ids: Vec<&str> = found.containers.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, [id.as_str(), short.as_str()]);
        assert!(matches!(found.containers[0].state, ContainerState::Running { .. }));
        assert_eq!(exit_of(&second, &short).await.code, 4);
        let output = second.exec_sync(&id, vec!["hostname".into()], None).await.unwrap();
        assert_eq!((output.code, output.stdout.as_slice()), (0, b"pod\n".as_slice()));
        second.stop_container(&id, Duration::from_secs(10)).await.unwrap();
        assert_eq!(exit_of(&second, &id).await.code, 5);
        // The first one has heard of it too.
        assert_eq!(node.exit(&id).await.code, 5);
    });
}

#[test]
fn restarted_node_accounts_for_what_ran() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let id = node.start_in(&sandbox, shell("sleep 1000")).await;
        let pid = node.runtime.container(&id).await.unwrap().pid.unwrap();
        kill_shims(&node);
        node.exit(&id).await;
        // As after a restart of the node: no run directory, no exit record.
        let files = node.path("state").join("containers").join(&id);
        std::fs::remove_file(files.join("exit.json")).unwrap();
        let record = node.path("state/sandboxes").join(format!("{sandbox}.json"));
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace("\"stopped\":true", "\"stopped\":false")).unwrap();
        let second = node.reopen().await;
        let found = second.sandbox(&sandbox).await.unwrap();
        assert!(!found.ready);
        let exit = exit_of(&second, &id).await;
        assert_eq!((exit.code, exit.lost), (255, true));
        assert!(is_gone(pid));
    });
}

/// True when a process has ended; that somebody has reaped it is not ours to say.
/// That nothing is left is what every test ends with.
#[test]
fn records_cut_off_by_a_kill_are_cleared() {
    run(|node| async move {
        for cut_off in ["state/sandboxes/cut.json.new", "state/sandboxes/cut.json"] {
            std::fs::write(node.path(cut_off), "{").unwrap();
        }
        let sandbox = node.sandbox().await;
        let second = node.reopen().await;
        let known: Vec<String> = second.list().await.unwrap().into_iter().map(|s| s.id).collect();
        assert_eq!(known, [sandbox]);
    });
}

fn is_gone(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

#[test]
fn killed_shim_leaves_nothing() {
    run(|node| async move {
        let mut spec = node.sandbox_spec();
        spec.share_process_namespace = true;
        let shared = node.runtime.create_sandbox(spec).await.unwrap().id;
        let own = node.sandbox().await;
        let mut events = node.runtime.events();
        let mut pids = Vec::new();
        for sandbox in [&shared, &own] {
            let id = node.start_in(sandbox, shell("sleep 1000 & sleep 1000")).await;
            pids.push(node.runtime.container(&id).await.unwrap().pid.unwrap());
        }
        kill_shims(&node);
        let wait = async {
            let mut lost = 0;
            while lost < 2 {
                let event = events.recv().await.unwrap();
                lost += i32::from(matches!(event, kd_runtime::RuntimeEvent::SandboxLost { .. }));
            }
        };
        tokio::time::timeout(node::WAIT_MAX, wait).await.unwrap();
        for sandbox in node.runtime.list().await.unwrap() {
            assert!(!sandbox.ready);
            let ContainerState::Exited(exit) = &sandbox.containers[0].state else {
                panic!("{:?}", sandbox.containers[0].state)
            };
            assert_eq!(exit.code, 137);
        }
        for pid in pids {
            assert!(is_gone(pid));
        }
    });
}

#[test]
fn bad_specifications_are_refused() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let mut spec = shell("true");
        spec.name = "../up".into();
        assert!(node.runtime.create_container(&sandbox, spec).await.is_err());
        let mut spec = shell("true");
        spec.security.run_as_non_root = true;
        let error = node.runtime.create_container(&sandbox, spec).await.unwrap_err();
        assert_eq!(error.to_string(), "container has runAsNonRoot and image will run as root");
        let mut spec = node.sandbox_spec();
        spec.sysctls.insert("net.ipv4.no_such".into(), "1".into());
        let error = node.runtime.create_sandbox(spec).await.unwrap_err();
        assert!(error.to_string().contains("set sysctl net.ipv4.no_such=1"), "{error}");
        assert!(node.runtime.container("gone").await.is_err());
        assert!(node.runtime.stop_container("gone", Duration::ZERO).await.is_ok());
        assert!(node.runtime.remove_sandbox("gone").await.is_ok());
    });
}

#[test]
fn an_image_is_mounted_to_be_read() {
    run(|node| async move {
        let layers: Vec<std::path::PathBuf> = ["top", "middle", "bottom"]
            .iter()
            .map(|name| {
                let layer = node.path("image").join(name);
                std::fs::create_dir_all(&layer).unwrap();
                std::fs::write(layer.join(name), "").unwrap();
                std::fs::write(layer.join("who"), name).unwrap();
                layer
            })
            .collect();
        for count in [1, 3] {
            let target = node.path(&format!("target-{count}"));
            kd_runtime::mount_image(&layers[..count], &target).unwrap();
            assert_eq!(std::fs::read_to_string(target.join("who")).unwrap(), "top");
            assert_eq!(target.join("bottom").exists(), count == 3);
            let refused = std::fs::write(target.join("new"), "").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
            nix::mount::umount2(&target, nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
        assert!(kd_runtime::mount_image(&[], &node.path("none")).is_err());
    });
}
