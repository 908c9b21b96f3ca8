//! Looking at a pod: its sandboxes in the runtime and the messages its containers left.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use kd_runtime::{ContainerState, ContainerStatus, Error};

use super::Worker;
use crate::lifecycle::{Observation, annotation};
use crate::logs::last_lines;
use crate::pod::PodExt;

/// Longest termination message, bytes.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// What `FallbackToLogsOnError` takes of the log.
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;

impl Worker {
    pub(super) async fn observe(&mut self) -> Result<Observation, Error> {
        let mut seen = Observation::default();
        let known = self.entry.sandboxes();
        for id in &known {
            match self.kubelet.runtime().sandbox(id).await {
                Ok(sandbox) => seen.sandboxes.push(sandbox),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        seen.sandboxes.sort_by_key(|s| (s.spec.pod.attempt, s.created_at));
        if seen.sandboxes.len() != known.len() {
            self.entry.set_sandboxes(seen.sandboxes.iter().map(|s| s.id.clone()).collect());
        }
        let exited = seen.containers().filter(|c| matches!(c.state, ContainerState::Exited(_)));
        for container in exited {
            if !self.messages.contains_key(&container.id) {
                self.messages.insert(container.id.clone(), termination_message(container));
            }
        }
        self.messages.retain(|id, _| seen.containers().any(|c| c.id == *id));
        seen.messages = self.messages.clone();
        seen.devices = self.kubelet.devices().health(self.entry.pod().uid());
        Ok(seen)
    }
}

/// What the container wrote for its status, or the end of its log.
fn termination_message(container: &ContainerStatus) -> String {
    let note = |key| container.spec.annotations.get(key).map(String::as_str);
    let written = note(annotation::MESSAGE_FILE).map(|path| read_end(Path::new(path)));
    let written = written.unwrap_or_default();
    let failed = matches!(&container.state, ContainerState::Exited(exit) if exit.code != 0);
    let fallback = note(annotation::MESSAGE_POLICY) == Some("FallbackToLogsOnError");
    if written.is_empty() && failed && fallback {
        return last_lines(&container.log_path, LOG_LINES_MAX, LOG_BYTES_MAX).unwrap_or_default();
    }
    written
}

fn read_end(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MESSAGE_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
