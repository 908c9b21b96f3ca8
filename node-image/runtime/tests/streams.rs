//! Commands run in containers, attached streams, and dialling into a pod.

mod node;

use std::time::Duration;

use kd_runtime::{Error, ExecSpec, Runtime, Session};
use node::{WAIT_MAX, run, shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

async fn finish(session: Session) -> (i32, String, String) {
    let work = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        drop(session.stdin);
        if let Some(mut stdout) = session.stdout {
            stdout.read_to_end(&mut out).await.unwrap();
        }
        if let Some(mut stderr) = session.stderr {
            stderr.read_to_end(&mut err).await.unwrap();
        }
        let code = session.exit.await.unwrap().unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    tokio::time::timeout(WAIT_MAX, work).await.expect("session does not end")
}

#[test]
fn exec_sync() {
    run(|node| async move {
        let mut spec = shell("sleep 1000");
        spec.env = vec![("A".into(), "b c".into())];
        let id = node.start(spec).await;
        let exec = async |script: &str| {
            let output =
                node.runtime.exec_sync(&id, command(&["sh", "-c", script]), None).await.unwrap();
            (output.code, String::from_utf8(output.stdout).unwrap(), output.stderr)
        };
        assert_eq!(exec("echo $A; exit 3").await, (3, "b c\n".into(), vec![]));
        assert_eq!(exec("echo e >&2").await, (0, String::new(), b"e\n".to_vec()));
        assert_eq!(exec("cat /proc/1/comm").await, (0, "sleep\n".into(), vec![]));
        assert_eq!(exec("kill -9 $$").await.0, 137);
        // What outlives the command is not waited for.
        assert_eq!(exec("sleep 1000 & echo x").await, (0, "x\n".into(), vec![]));
        let long = exec("seq 1 100000").await.1;
        assert_eq!(long.len(), 16 * 1024);
    });
}

#[test]
fn exec_errors() {
    run(|node| async move {
        let id = node.start(shell("sleep 1000")).await;
        let error = node.runtime.exec_sync(&id, command(&["nothing"]), None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \
             \"nothing\": executable file not found in $PATH: unknown"
        );
        let timeout = Some(Duration::from_millis(200));
        let error =
            node.runtime.exec_sync(&id, command(&["sleep", "1000"]), timeout).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        node.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
        let error = node.runtime.exec_sync(&id, command(&["true"]), None).await.unwrap_err();
        assert!(matches!(error, Error::State(_) | Error::NotFound { .. }), "{error:?}");
    });
}

#[test]
fn exec_with_stdin() {
    run(|node| async move {
        let id = node.start(shell("sleep 1000")).await;
        let spec = ExecSpec {
            command: command(&["sh", "-c", "cat; echo done >&2; exit 9"]),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let mut session = node.runtime.exec(&id, spec).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        let data = "line\n".repeat(100_000);
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            stdin.write_all(sent.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
        });
        let (code, out, err) = finish(session).await;
        writer.await.unwrap();
        assert_eq!((code, err.as_str()), (9, "done\n"));
        assert!(out == data, "{} bytes of {}", out.len(), data.len());
    });
}

#[test]
fn exec_with_terminal() {
    run(|node| async move {
        let id = node.start(shell("sleep 1000")).await;
        let spec = ExecSpec {
            command: command(&["sh", "-c", "read x; stty size; tty; echo $TERM got $x; exit 2"]),
            stdin: true,
            stdout: true,
            stderr: false,
            tty: true,
        };
        let mut session = node.runtime.exec(&id, spec).await.unwrap();
        session.resize.send((100, 30)).await.unwrap();
        // Sizes are applied in order by a task; the closed channel says that it has seen them.
        let mut stdin = session.stdin.take().unwrap();
        while session.resize.capacity() < session.resize.max_capacity() {
            tokio::task::yield_now().await;
        }
        stdin.write_all(b"hello\n").await.unwrap();
        let (code, out, _) = finish(session).await;
        drop(stdin);
        assert_eq!(code, 2);
        assert_eq!(out, "hello\r\n30 100\r\n/dev/pts/0\r\nxterm got hello\r\n");
    });
}

#[test]
fn dropped_terminal_hangs_up() {
    run(|node| async move {
        let id = node.start(shell("sleep 1000")).await;
        let script = "trap 'touch /hup; exit' HUP; echo up; while :; do sleep 0.05; done";
        let spec = ExecSpec {
            command: command(&["sh", "-c", script]),
            stdin: true,
            stdout: true,
            tty: true,
            ..ExecSpec::default()
        };
        let mut session = node.runtime.exec(&id, spec).await.unwrap();
        let mut up = [0; 4];
        session.stdout.as_mut().unwrap().read_exact(&mut up).await.unwrap();
        drop(session);
        let wait = "while [ ! -e /hup ]; do sleep 0.02; done";
        let wait = node.runtime.exec_sync(&id, command(&["sh", "-c", wait]), Some(WAIT_MAX)).await;
        assert_eq!(wait.unwrap().code, 0);
    });
}

#[test]
fn attach_with_stdin_once() {
    run(|node| async move {
        let mut spec = shell("echo early; cat; echo end >&2; exit 6");
        (spec.stdin, spec.stdin_once) = (true, true);
        let id = node.start(spec).await;
        let spec = ExecSpec { stdin: true, stdout: true, stderr: true, ..ExecSpec::default() };
        let mut session = node.runtime.attach(&id, spec).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        let (code, out, err) = finish(session).await;
        assert_eq!((code, err.as_str()), (6, "end\n"));
        assert!(out.ends_with("one\ntwo\n"), "{out:?}");
        assert_eq!(node.log(&id).await, "early\none\ntwo\nend\n");
    });
}

#[test]
fn attach_to_terminal() {
    run(|node| async move {
        let mut spec = shell("read x; echo got $x; ls -l /dev/console | head -c 1; exit 1");
        (spec.stdin, spec.tty) = (true, true);
        let id = node.start(spec).await;
        let spec = ExecSpec { stdin: true, stdout: true, tty: true, ..ExecSpec::default() };
        let mut session = node.runtime.attach(&id, spec).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"hi\n").await.unwrap();
        let (code, out, _) = finish(session).await;
        assert_eq!((code, out.as_str()), (1, "hi\r\ngot hi\r\nc"));
        assert_eq!(node.log(&id).await, "hi\ngot hi\nc\n");
    });
}

#[test]
fn large_output_is_complete() {
    run(|node| async move {
        let id = node.start(shell("read x; seq 1 200000; exit 0")).await;
        node.exit(&id).await;
        let log = node.log(&id).await;
        assert_eq!(log.lines().count(), 200_000);
        assert!(log.ends_with("200000\n"));
    });
}

#[test]
fn dials_into_the_pod() {
    run(|node| async move {
        let sandbox = node.sandbox().await;
        let id = node.start_in(&sandbox, shell("nc -l -p 8080 -e cat")).await;
        let listening = "while ! grep -q :1F90 /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done";
        let listening =
            node.runtime.exec_sync(&id, command(&["sh", "-c", listening]), Some(WAIT_MAX)).await;
        assert_eq!(listening.unwrap().code, 0);
        let mut stream = node.runtime.dial(&sandbox, 8080).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"ping");
        assert!(node.runtime.dial(&sandbox, 1).await.is_err());
    });
}
