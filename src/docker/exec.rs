//! Programs run inside a node, with bytes streamed to their standard input.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::engine::{Engine, refused};
use crate::error::{Error, Result};

/// How much of a program's output is kept.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a program reads: pieces from somewhere that may fail.
pub type Input = BoxStream<'static, Result<Bytes>>;

/// How a program ended.
#[derive(Clone, Debug)]
pub struct ExecOutcome {
    /// Its exit code.
    pub exit_code: i64,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl ExecOutcome {
    /// The standard output of a program that succeeded, an error with its words otherwise.
    pub fn success(self, operation: &str) -> Result<Vec<u8>> {
        if self.exit_code == 0 {
            return Ok(self.stdout);
        }
        let words = self.stderr.trim();
        let words = words.strip_prefix("error: ").unwrap_or(words);
        let reason = if words.is_empty() {
            format!("exit code {}", self.exit_code)
        } else {
            words.to_owned()
        };
        Err(Error::failure(format!("{operation}: {reason}")))
    }
}

impl Engine {
    /// Runs a program in a node, gives it `input` and waits for its end.
    pub async fn exec(&self, node: &str, command: &[&str], input: Input) -> Result<ExecOutcome> {
        let operation = || format!("run {:?} in {node}", command.join(" "));
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let exec = self.docker.create_exec(node, config).await;
        let exec = exec.map_err(|source| refused(operation(), source))?.id;
        let started = self.docker.start_exec(&exec, None::<StartExecOptions>).await;
        let started = started.map_err(|source| refused(operation(), source))?;
        let StartExecResults::Attached { output, input: stdin } = started else {
            return Err(Error::failure(format!("{}: not attached", operation())));
        };
        let (fed, read) = tokio::join!(feed(stdin, input), collect(output));
        let (stdout, stderr) = read.map_err(|source| refused(operation(), source))?;
        fed?;
        let ended = self.docker.inspect_exec(&exec).await;
        let ended = ended.map_err(|source| refused(operation(), source))?;
        Ok(ExecOutcome { exit_code: ended.exit_code.unwrap_or(-1), stdout, stderr })
    }
}

/// A program that ends before it has read everything says why on standard error, so a pipe that
/// breaks is no error here.
async fn feed(
    mut stdin: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    mut input: Input,
) -> Result<()> {
    while let Some(piece) = input.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                // Without its end the program must not take what it got for the whole.
                drop(stdin);
                return Err(error);
            }
        };
        if stdin.write_all(&piece).await.is_err() {
            return Ok(());
        }
    }
    let _ = stdin.shutdown().await;
    Ok(())
}

async fn collect<S>(mut output: S) -> std::result::Result<(Vec<u8>, String), bollard::errors::Error>
where
    S: futures::Stream<Item = std::result::Result<LogOutput, bollard::errors::Error>> + Unpin,
{
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(piece) = output.try_next().await? {
        let (kept, bytes) = match &piece {
            LogOutput::StdErr { message } => (&mut stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                (&mut stdout, message)
            }
            LogOutput::StdIn { .. } => continue,
        };
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok((stdout, String::from_utf8_lossy(&stderr).into_owned()))
}
