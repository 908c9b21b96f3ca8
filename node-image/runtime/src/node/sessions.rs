//! Commands in containers and attached streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use super::Inner;
use super::objects::Container;
use super::stream::{Stream, Streams, keep};
use crate::interface::{Error, ExecOutput, ExecSpec, Result, Session};
use crate::protocol::Request;

/// What is kept of each stream of a probe or hook.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

impl Inner {
    pub(super) async fn exec(&self, container: &Container, spec: ExecSpec) -> Result<Session> {
        let connection = self.sandbox(&container.sandbox_id)?.connection()?;
        let request = Request::Exec { container: container.id.clone(), spec };
        let (_, reply, descriptors, exit) = connection.call_exec(request).await?;
        Ok(Streams::new(&reply, descriptors)?.session(exit))
    }

    pub(super) async fn exec_sync(
        &self,
        container: &Container,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput> {
        let connection = self.sandbox(&container.sandbox_id)?.connection()?;
        let shown = command.join(" ");
        let spec = ExecSpec { command, stdout: true, stderr: true, ..ExecSpec::default() };
        let request = Request::Exec { container: container.id.clone(), spec };
        let begun = tokio::time::Instant::now();
        let (number, reply, descriptors, exit) = connection.call_exec(request).await?;
        let streams = Streams::new(&reply, descriptors)?;
        let ended = collect(streams, exit);
        let Some(timeout) = timeout else { return ended.await };
        match tokio::time::timeout_at(begun + timeout, ended).await {
            Ok(result) => result,
            Err(_) => {
                connection.call(Request::KillExec { exec: number }).await?;
                Err(Error::Timeout { operation: format!("command {shown:?}"), after: timeout })
            }
        }
    }

    pub(super) async fn attach(
        &self,
        container: &Arc<Container>,
        spec: ExecSpec,
    ) -> Result<Session> {
        let connection = self.sandbox(&container.sandbox_id)?.connection()?;
        let request = Request::Attach { container: container.id.clone(), spec };
        let (reply, descriptors) = connection.call(request).await?;
        let (mut sender, exit) = oneshot::channel();
        let container = container.clone();
        tokio::spawn(async move {
            tokio::select! {
                exit = container.exited() => { let _ = sender.send(Ok(exit.code)); }
                () = sender.closed() => {}
            }
        });
        Ok(Streams::new(&reply, descriptors)?.session(exit))
    }
}

/// Reads both streams until the command has ended. What a process left behind writes later is not
/// waited for.
async fn collect(streams: Streams, mut exit: oneshot::Receiver<Result<i32>>) -> Result<ExecOutput> {
    let mut output = ExecOutput::default();
    let (mut stdout, mut stderr) = (streams.stdout, streams.stderr);
    let lost = || Error::State("the sandbox's shim is gone".into());
    loop {
        tokio::select! {
            biased;
            ended = read(&mut stdout, &mut output.stdout), if stdout.is_some() => {
                if ended { stdout = None; }
            }
            ended = read(&mut stderr, &mut output.stderr), if stderr.is_some() => {
                if ended { stderr = None; }
            }
            code = &mut exit => {
                output.code = code.map_err(|_| lost())??;
                break;
            }
        }
    }
    let rest = [(stdout, &mut output.stdout), (stderr, &mut output.stderr)];
    for (stream, kept) in rest {
        if let Some(stream) = stream {
            stream.read_available(kept, OUTPUT_BYTES_MAX);
        }
    }
    Ok(output)
}

/// Reads once; true at the end of the stream.
async fn read(stream: &mut Option<Stream>, kept: &mut Vec<u8>) -> bool {
    let Some(stream) = stream else { return true };
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer).await {
        Ok(0) | Err(_) => true,
        Ok(count) => {
            keep(kept, &buffer[..count], OUTPUT_BYTES_MAX);
            false
        }
    }
}
