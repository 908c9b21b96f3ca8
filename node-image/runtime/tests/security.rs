//! What a container may see and do.

mod node;

use kd_runtime::{IdRange, Mount, Propagation, Runtime, Seccomp};
use node::{run, shell};

#[test]
fn users_and_groups() {
    run(|node| async move {
        let (_, log) = node
            .script(
                "id -u; id -g; id -G; echo $HOME; cat /proc/self/status | grep CapEff",
                |spec| {
                    spec.security.run_as_user = Some(101);
                    spec.security.supplemental_groups = vec![5000];
                },
            )
            .await;
        let expect = "101\n102\n102 200 5000\n/srv/web\nCapEff:\t0000000000000000\n";
        assert_eq!(log, expect);
        let (code, log) = node
            .script("echo ok > /dev/stdout; id -u", |spec| {
                spec.name = "numeric".into();
                spec.security.run_as_user = Some(4242);
                spec.security.run_as_group = Some(17);
            })
            .await;
        assert_eq!((code, log.as_str()), (0, "ok\n4242\n"));
    });
}

#[test]
fn capabilities() {
    run(|node| async move {
        let script = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | sort; \
                      grep NoNewPrivs /proc/self/status";
        let (_, log) = node.script(script, |_| {}).await;
        let set = "00000000a80425fb";
        let none = "0000000000000000";
        assert_eq!(
            log,
            format!(
                "CapAmb:\t{none}\nCapBnd:\t{set}\nCapEff:\t{set}\nCapInh:\t{none}\nCapPrm:\t{set}\n\
                 NoNewPrivs:\t0\n"
            )
        );
        let (_, log) = node
            .script(
                "grep -E 'CapEff|NoNewPrivs' /proc/self/status; chown 1 /tmp 2>&1 || echo no",
                |spec| {
                    spec.name = "few".into();
                    spec.security.drop_capabilities = vec!["ALL".into()];
                    spec.security.add_capabilities = vec!["NET_ADMIN".into()];
                    spec.security.no_new_privileges = true;
                },
            )
            .await;
        assert!(log.starts_with("CapEff:\t0000000000001000\nNoNewPrivs:\t1\n"), "{log}");
        assert!(log.ends_with("no\n"), "{log}");
    });
}

#[test]
fn system_call_filters() {
    run(|node| async move {
        let script = "grep ^Seccomp: /proc/self/status; unshare -m true 2>&1; \
                      sh -c 'exit 3'; echo $?";
        for no_new_privileges in [false, true] {
            let (_, log) = node
                .script(script, |spec| {
                    spec.name = format!("default-{no_new_privileges}");
                    spec.security.seccomp = Seccomp::RuntimeDefault;
                    spec.security.no_new_privileges = no_new_privileges;
                })
                .await;
            assert!(log.starts_with("Seccomp:\t2\n"), "{log}");
            assert!(log.contains("Operation not permitted"), "{log}");
            assert!(log.ends_with("3\n"), "{log}");
        }
        let profile = node.path("profile.json");
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":30}]}"#;
        std::fs::write(&profile, json).unwrap();
        let mut spec = shell("sleep 1000");
        spec.name = "local".into();
        spec.security.seccomp = Seccomp::Localhost(profile);
        let id = node.start(spec).await;
        let command = ["mkdir", "/x"].map(str::to_owned).to_vec();
        let output = node.runtime.exec_sync(&id, command, None).await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.code, 1);
        assert!(error.contains("Read-only file system"), "{error}");
    });
}

#[test]
fn read_only_root() {
    run(|node| async move {
        let volume = node.path("volume");
        std::fs::create_dir(&volume).unwrap();
        let (_, log) = node
            .script("touch /x 2>/dev/null || echo ro; touch /v/x && echo rw; touch /dev/shm/x && echo rw", |spec| {
                spec.security.read_only_root = true;
                spec.mounts = vec![Mount {
                    source: volume.clone(),
                    target: "/v".into(),
                    ..Mount::default()
                }];
            })
            .await;
        assert_eq!(log, "ro\nrw\nrw\n");
        assert!(volume.join("x").exists());
    });
}

#[test]
fn volumes() {
    run(|node| async move {
        let volume = node.path("volume");
        std::fs::create_dir_all(volume.join("sub")).unwrap();
        std::fs::write(node.path("file"), "file\n").unwrap();
        let mount = |source: &str, target: &str, read_only: bool| Mount {
            source: node.path(source),
            target: target.into(),
            read_only,
            ..Mount::default()
        };
        let script = "cat /etc/new/file; echo x > /etc/new/file || echo ro; echo y > /deep/er/y; \
                      touch /ro/x || echo ro; cat /link/y";
        let (code, log) = node
            .script(script, |spec| {
                spec.mounts = vec![
                    mount("file", "/etc/new/file", true),
                    mount("volume", "/deep/er", false),
                    mount("volume", "/ro", true),
                    mount("volume", "/srv/../link", false),
                ];
            })
            .await;
        assert_eq!(code, 0, "{log}");
        let out: String =
            log.lines().filter(|line| !line.contains("Read-only")).collect::<Vec<_>>().join(" ");
        assert_eq!(out, "file ro ro y");
        assert_eq!(std::fs::read_to_string(volume.join("y")).unwrap(), "y\n");
        let sandbox = node.sandbox().await;
        let mut spec = shell("true");
        spec.mounts = vec![mount("absent", "/x", false)];
        let id = node.runtime.create_container(&sandbox, spec).await.unwrap();
        let error = node.runtime.start_container(&id).await.unwrap_err().to_string();
        assert!(error.contains("open volume"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    });
}

#[test]
fn devices() {
    run(|node| async move {
        let script = "echo x > /dev/null && echo null; mknod /tmp/mem c 1 1 && echo made; \
                      head -c 1 /tmp/mem 2>&1 | grep -c 'not permitted'; \
                      mknod /tmp/zero c 1 5; head -c 2 /tmp/zero | wc -c";
        let (_, log) = node.script(script, |_| {}).await;
        assert_eq!(log, "null\nmade\n1\n2\n");
    });
}

#[test]
fn privileged() {
    run(|node| async move {
        let script = "mkdir /m; mount -t tmpfs x /m && echo mounted; touch /proc/sys/kernel/ostype \
                      && echo unmasked; grep CapEff /proc/self/status; ls /dev";
        let (_, log) = node.script(script, |spec| spec.security.privileged = true).await;
        let held = std::fs::read_to_string("/proc/self/status").unwrap();
        let bounding = held.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
        let expect = format!("mounted\nunmasked\nCapEff:\t{bounding}\n");
        assert!(log.starts_with(&expect), "{log}");
        for entry in std::fs::read_dir("/dev").unwrap().flatten() {
            use std::os::unix::fs::FileTypeExt;
            let kind = entry.file_type().unwrap();
            if kind.is_char_device() || kind.is_block_device() {
                let name = entry.file_name().into_string().unwrap();
                let shown = log.lines().any(|line| line == name);
                assert!(shown || name == "console", "{name} is not in\n{log}");
            }
        }
    });
}

#[test]
fn namespaces_of_the_pod() {
    run(|node| async move {
        let mut spec = node.sandbox_spec();
        spec.share_process_namespace = true;
        spec.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        let sandbox = node.runtime.create_sandbox(spec).await.unwrap();
        assert!(sandbox.netns.as_ref().unwrap().exists());
        let first = node.start_in(&sandbox.id, shell("echo hi > /dev/shm/x; sleep 1000")).await;
        let mut second = shell(
            "while [ ! -e /dev/shm/x ]; do sleep 0.02; done; cat /dev/shm/x; \
             ps | grep -c 'sleep 100[0]'; cat /proc/sys/net/ipv4/ip_forward; cat /proc/1/comm; \
             grep -c . /proc/net/dev; readlink /proc/self/ns/net",
        );
        second.name = "second".into();
        let second = node.start_in(&sandbox.id, second).await;
        assert_eq!(node.exit(&second).await.code, 0);
        let log = node.log(&second).await;
        assert!(log.starts_with("hi\n1\n1\npause\n3\nnet:["), "{log}");
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(!log.contains(ours.to_str().unwrap()));
        node.runtime.stop_container(&first, std::time::Duration::ZERO).await.unwrap();
        assert_eq!(node.exit(&first).await.code, 137);

        let mut spec = node.sandbox_spec();
        (spec.host_network, spec.host_pid, spec.host_ipc) = (true, true, true);
        let sandbox = node.runtime.create_sandbox(spec).await.unwrap();
        assert_eq!(sandbox.netns, None);
        let pid = std::process::id();
        let script = format!("readlink /proc/self/ns/net; ls -d /proc/{pid}; sleep 1000 & exit 0");
        let mut spec = shell(&script);
        spec.name = "host".into();
        let id = node.start_in(&sandbox.id, spec).await;
        node.exit(&id).await;
        let log = node.log(&id).await;
        assert_eq!(log, format!("{}\n/proc/{pid}\n", ours.display()));
    });
}

#[test]
fn a_container_among_the_processes_of_another() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let target = node.start_in(&sandbox, shell("sleep 1000")).await;
        let named = |name: &str, target: &str, script: &str| {
            let mut spec = shell(script);
            (spec.name, spec.pid_target) = (name.into(), target.into());
            spec
        };
        let name = node.runtime.container(&target).await.unwrap().spec.name;
        let script = "ps | grep -c 'sleep 100[0]'; sleep 2000 & sleep 2000";
        let guest = node.start_in(&sandbox, named("guest", &name, script)).await;
        let alone = node.start_in(&sandbox, named("alone", "", "cat /proc/1/cmdline")).await;
        node.exit(&alone).await;
        assert!(node.log(&alone).await.starts_with("cat"), "forks go where they did before");
        node.runtime.stop_container(&guest, std::time::Duration::ZERO).await.unwrap();
        assert_eq!(node.exit(&guest).await.code, 137);
        assert_eq!(node.log(&guest).await, "1\n");
        let lost = named("lost", "nobody", "true");
        let lost = node.runtime.create_container(&sandbox, lost).await.unwrap();
        let error = node.runtime.start_container(&lost).await.unwrap_err().to_string();
        assert!(error.contains("target container \"nobody\" does not run"), "{error}");
    });
}

#[test]
fn runtime_program_is_out_of_reach() {
    run(|node| async move {
        // A script's interpreter is opened by the kernel, past every check of the command's name.
        let script = "printf '#!/proc/self/exe\\n' > /tmp/x; chmod 755 /tmp/x; /tmp/x; \
                      while read -r line; do :; done < /dev/null; sleep 1000";
        let id = node.start(shell(script)).await;
        let command = ["/tmp/x"].map(str::to_owned).to_vec();
        // It runs the runtime's program, which ends on arguments that it does not know.
        let wait = ["sh", "-c", "while [ ! -x /tmp/x ]; do sleep 0.02; done"].map(str::to_owned);
        node.runtime.exec_sync(&id, wait.to_vec(), None).await.unwrap();
        let output = node.runtime.exec_sync(&id, command, None).await.unwrap();
        assert_eq!(output.code, 1, "{}", String::from_utf8_lossy(&output.stderr));
        let shim = env!("CARGO_BIN_EXE_kd-shim");
        let run = node.path("run");
        let shims = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            std::fs::read_to_string(process.path().join("cmdline"))
                .is_ok_and(|line| line.starts_with(shim) && line.contains(run.to_str().unwrap()))
        });
        let mut count = 0;
        for process in shims {
            count += 1;
            let program = process.path().join("exe");
            let mount = nix::sys::statvfs::statvfs(&program).unwrap().flags();
            assert!(mount.contains(nix::sys::statvfs::FsFlags::ST_RDONLY), "{program:?}");
        }
        assert_eq!(count, 1);
    });
}

#[test]
fn many_layers() {
    run(|node| async move {
        let (code, log) = node
            .script("ls -d /file-* | wc -l; cat /top", |spec| spec.image_id = "many".into())
            .await;
        assert_eq!((code, log.as_str()), (0, "450\ntop\n"));
    });
}

#[test]
fn mounts_travel_as_asked() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    run(|node| async move {
        let volume = node.path("volume");
        std::fs::create_dir(&volume).unwrap();
        let none = None::<&str>;
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &volume, tmpfs, MsFlags::empty(), none).unwrap();
        mount(none, &volume, none, MsFlags::MS_SHARED, none).unwrap();
        for name in ["up", "down"] {
            std::fs::create_dir(volume.join(name)).unwrap();
        }
        let targets = [
            ("/both", Propagation::Bidirectional),
            ("/from", Propagation::HostToContainer),
            ("/none", Propagation::Private),
        ];
        let mut spec = shell("mount -t tmpfs x /both/up && touch /both/up/file; sleep 1000");
        spec.security.privileged = true;
        spec.mounts = targets
            .map(|(target, propagation)| Mount {
                source: volume.clone(),
                target: target.into(),
                propagation,
                ..Mount::default()
            })
            .to_vec();
        let id = node.start(spec).await;
        let exec = async |script: &str| {
            let command = ["sh", "-c", script].map(str::to_owned).to_vec();
            let output = node.runtime.exec_sync(&id, command, Some(node::WAIT_MAX)).await.unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        exec("while [ ! -e /both/up/file ]; do sleep 0.02; done").await;
        assert!(volume.join("up/file").exists());
        mount(tmpfs, &volume.join("down"), tmpfs, MsFlags::empty(), none).unwrap();
        std::fs::write(volume.join("down/file"), "").unwrap();
        assert_eq!(exec("cd /; ls -d */down/file").await, "both/down/file\nfrom/down/file\n");
        assert_eq!(exec("cd /; ls -d */up/file").await, "both/up/file\nfrom/up/file\n");
        for path in [volume.join("down"), volume.join("up"), volume] {
            umount2(&path, MntFlags::MNT_DETACH).unwrap();
        }
    });
}

#[test]
fn ids_of_a_user_namespace() {
    const FIRST: u32 = 0x4000_0000;
    run(|node| async move {
        let volume = node.path("volume");
        std::fs::create_dir(&volume).unwrap();
        std::fs::write(volume.join("of-root"), "x").unwrap();
        let mut spec = node.sandbox_spec();
        spec.user_namespace = Some(IdRange { first: FIRST, length: 1 << 16 });
        spec.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        let sandbox = node.runtime.create_sandbox(spec).await.unwrap().id;
        let script = "cat /proc/self/uid_map /proc/self/gid_map; stat -c %u /bin /v/of-root /srv/web; \
                      mkdir /new && touch /new/x /dev/shm/x /v/y && stat -c %u:%g /new/x /v/y; \
                      chown 7:8 /v/y; mount -t tmpfs x /mnt 2>/dev/null || echo no mounts; \
                      umount /proc/sys 2>/dev/null || echo masked; \
                      echo seen > /dev/stdout; cat /proc/sys/net/ipv4/ip_forward; hostname; \
                      echo x > /dev/null && echo null; sleep 1000";
        let mut main = shell(script);
        main.mounts =
            vec![Mount { source: volume.clone(), target: "/v".into(), ..Mount::default() }];
        let id = node.start_in(&sandbox, main).await;
        let exec = async |script: &str| {
            let command = ["sh", "-c", script].map(str::to_owned).to_vec();
            let output = node.runtime.exec_sync(&id, command, Some(node::WAIT_MAX)).await.unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        exec("while ! pidof sleep >/dev/null; do :; done 2>/dev/null").await;
        let map = format!("0 {FIRST} 65536");
        let log = node.log(&id).await;
        let log: Vec<String> =
            log.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            log,
            [
                &map,
                &map,
                "0",
                "0",
                "0",
                "0:0",
                "0:0",
                "no mounts",
                "masked",
                "seen",
                "1",
                "pod",
                "null"
            ]
        );
        use std::os::unix::fs::MetadataExt;
        let written = std::fs::metadata(volume.join("y")).unwrap();
        assert_eq!((written.uid(), written.gid()), (7, 8), "volumes keep the pod's ids");
        let pid = node.runtime.container(&id).await.unwrap().pid.unwrap();
        assert_eq!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), FIRST);
        let seen = exec(
            "id -u; stat -c %u /v/y; cat /proc/self/uid_map | wc -l; kill -0 1 && echo killable",
        )
        .await;
        assert_eq!(seen, "0\n7\n1\nkillable\n");

        // With the right to mount, mounts belong to the pod.
        let mut able =
            shell("mkdir -p /m && mount -t tmpfs x /m && echo mounted; id -u > /dev/stderr");
        able.name = "able".into();
        able.security.add_capabilities = vec!["SYS_ADMIN".into()];
        able.security.run_as_user = Some(0);
        let id = node.start_in(&sandbox, able).await;
        assert_eq!(node.exit(&id).await.code, 0);
        assert!(node.log(&id).await.contains("mounted"), "{}", node.log(&id).await);
    });
}

#[test]
fn user_namespaces_with_a_terminal_and_shared_processes() {
    run(|node| async move {
        let mut spec = node.sandbox_spec();
        spec.user_namespace = Some(IdRange { first: 0x5000_0000, length: 1 << 16 });
        spec.share_process_namespace = true;
        let sandbox = node.runtime.create_sandbox(spec).await.unwrap().id;
        let mut spec =
            shell("stat -c %u /dev/pts/0; tty; cat /proc/1/comm; stat -c %u /proc/1; id -u");
        spec.tty = true;
        spec.security.run_as_user = Some(33);
        spec.security.seccomp = Seccomp::RuntimeDefault;
        let id = node.start_in(&sandbox, spec).await;
        assert_eq!(node.exit(&id).await.code, 0);
        let log = node.log(&id).await.replace('\r', "");
        assert_eq!(log, "33\n/dev/pts/0\npause\n0\n33\n");
    });
}
