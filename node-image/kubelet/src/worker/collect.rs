//! Removing containers that nobody asks about any more: of each name the newest stays, and the one
//! that ended before it.

use std::collections::HashMap;
use std::sync::Arc;

use kd_runtime::{ContainerState, ContainerStatus};

use super::stop::remove_log_link;
use super::{News, Worker};
use crate::lifecycle::Observation;
use crate::pod::PodExt;

impl Worker {
    pub(super) fn collect(&mut self, seen: &Observation) {
        if self.collecting || self.starting.is_some() {
            return;
        }
        let old: Vec<ContainerStatus> = superfluous(seen).into_iter().cloned().collect();
        let sandboxes = empty_sandboxes(seen, &old);
        if old.is_empty() && sandboxes.is_empty() {
            return;
        }
        self.collecting = true;
        let (kubelet, tell) = (Arc::clone(&self.kubelet), self.tell.clone());
        let pod = self.entry.pod();
        tokio::spawn(async move {
            for container in &old {
                remove_log_link(&kubelet, container, pod.name(), pod.namespace());
                if let Err(error) = kubelet.runtime().remove_container(&container.id).await {
                    tracing::warn!(id = container.id, %error, "cannot remove an old container");
                }
            }
            for id in &sandboxes {
                if let Err(error) = kubelet.runtime().remove_sandbox(id).await {
                    tracing::warn!(id, %error, "cannot remove an old sandbox");
                }
                kubelet.disown_sandbox(id);
            }
            let _ = tell.send(News::Collected);
        });
    }
}

fn superfluous(seen: &Observation) -> Vec<&ContainerStatus> {
    let mut by_name: HashMap<&str, Vec<&ContainerStatus>> = HashMap::new();
    for container in seen.containers() {
        by_name.entry(&container.spec.name).or_default().push(container);
    }
    let mut old = Vec::new();
    for mut containers in by_name.into_values() {
        containers.sort_by_key(|c| std::cmp::Reverse(c.spec.attempt));
        let ended = |c: &&ContainerStatus| matches!(c.state, ContainerState::Exited(_));
        let before = containers.iter().skip(1).find(|c| ended(c)).map(|c| &c.id);
        let is_old = |c: &&&ContainerStatus| {
            Some(&c.id) != before && !matches!(c.state, ContainerState::Running { .. })
        };
        old.extend(containers.iter().skip(1).filter(is_old));
    }
    old
}

/// Older sandboxes whose containers all go.
fn empty_sandboxes(seen: &Observation, old: &[ContainerStatus]) -> Vec<String> {
    let goes = |c: &ContainerStatus| old.iter().any(|o| o.id == c.id);
    let older = seen.sandboxes.iter().rev().skip(1);
    let empty = older.filter(|s| !s.ready && s.containers.iter().all(goes));
    empty.map(|s| s.id.clone()).collect()
}
