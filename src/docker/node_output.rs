//! What PID 1 of a node says on its standard output while it starts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::{Stream, StreamExt};
use kd_contract::READY_LINE;

use super::engine::{Engine, refused};
use super::node_container::Container;
use crate::error::Result;

/// What every line for kd begins with.
const PREFIX: &str = "kd: ";
/// How many lines are kept to explain a failure.
const TAIL_LINES: usize = 20;
/// No line of a node is this long; what is longer is cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Something a node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// A phase of the start is over.
    Phase { name: String, took: Duration },
    /// The node is usable.
    Ready,
    /// The node gave up.
    Failed(String),
    /// The container stopped.
    Ended,
}

/// The output of one node from the moment it is attached, so before the node starts.
pub struct NodeOutput {
    stream:
        Pin<Box<dyn Stream<Item = std::result::Result<LogOutput, bollard::errors::Error>> + Send>>,
    buffer: Vec<u8>,
    tail: VecDeque<String>,
}

impl NodeOutput {
    /// Attaches to the output of a container that need not run yet.
    pub async fn attach(engine: &Engine, container: &Container) -> Result<NodeOutput> {
        let options =
            AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = engine.docker.attach_container(&container.id, Some(options)).await;
        let attached = attached
            .map_err(|source| refused(format!("attach to the node {}", container.name), source))?;
        Ok(NodeOutput { stream: attached.output, buffer: Vec::new(), tail: VecDeque::new() })
    }

    /// The next thing that matters. After [`NodeEvent::Ended`] nothing follows.
    pub async fn next(&mut self) -> NodeEvent {
        loop {
            while let Some(line) = self.take_line() {
                if let Some(event) = parse(&line) {
                    return event;
                }
            }
            match self.stream.next().await {
                Some(Ok(output)) => self.buffer.extend_from_slice(output.as_ref()),
                Some(Err(_)) | None => return NodeEvent::Ended,
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                self.buffer.push(b'\n');
            }
        }
    }

    /// The last lines that were read.
    pub fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("  {line}\n")).collect()
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        Some(line)
    }
}

fn parse(line: &str) -> Option<NodeEvent> {
    if line == READY_LINE {
        return Some(NodeEvent::Ready);
    }
    let (word, rest) = line.strip_prefix(PREFIX)?.split_once(' ')?;
    match word {
        "failed" => Some(NodeEvent::Failed(rest.to_owned())),
        "phase" => {
            let (name, millis) = rest.rsplit_once(' ')?;
            let took = Duration::from_secs_f64(millis.parse::<u32>().ok().map(f64::from)? / 1e3);
            Some(NodeEvent::Phase { name: name.to_owned(), took })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_node() {
        let check =
            |line: &str, expect: Option<NodeEvent>| assert_eq!(parse(line), expect, "{line}");
        check("kd: ready", Some(NodeEvent::Ready));
        check("kd: failed no space left", Some(NodeEvent::Failed("no space left".to_owned())));
        let took = Duration::from_millis(12);
        check("kd: phase mount 12", Some(NodeEvent::Phase { name: "mount".to_owned(), took }));
        check("kd: phase mount soon", None);
        check("kd: ready soon", None);
        check("2026-01-01 INFO kd: ready", None);
        check("", None);
    }

    #[tokio::test]
    async fn output_in_pieces() {
        let piece = |text: &'static str| {
            Ok(LogOutput::StdOut { message: bytes::Bytes::from_static(text.as_bytes()) })
        };
        let pieces = [piece("hello\nkd: re"), piece("ady\nkd: failed a b\nrest"), piece("\nend")];
        let mut output = NodeOutput {
            stream: Box::pin(futures::stream::iter(pieces)),
            buffer: Vec::new(),
            tail: VecDeque::new(),
        };
        assert_eq!(output.next().await, NodeEvent::Ready);
        assert_eq!(output.next().await, NodeEvent::Failed("a b".to_owned()));
        assert_eq!(output.next().await, NodeEvent::Ended);
        assert_eq!(output.tail(), "  hello\n  kd: ready\n  kd: failed a b\n  rest\n");
    }
}
