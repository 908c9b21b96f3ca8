//! Watching for shortages and evicting. The kernel tells of none of them by itself, so it is looked
//! now and then, as often as upstream does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::is_critical;
use super::local_storage::{exceeded, is_limited};
use super::message::message;
use super::ranking::{Candidate, rank};
use super::signals::{Condition, Shortage, Signal, met};
use crate::entry::PodEntry;
use crate::events::EventType;
use crate::image_gc::remove_unused;
use crate::kubelet::Kubelet;
use crate::lifecycle::Stop;
use crate::pod::PodExt;
use crate::stats::{Detail, collect, measure_pod};

/// A pod that has to go at once gets this long.
const GRACE: Duration = Duration::from_secs(1);
/// The next one is looked for when this one is gone, or after this long.
const GONE_MAX: Duration = Duration::from_secs(30);

/// Looks for ever.
pub(crate) async fn run_eviction(kubelet: Arc<Kubelet>) {
    let mut ticks = tokio::time::interval(kubelet.config().node_check_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let limits = &kubelet.config().pressure;
        let levels = kubelet.machine().levels(&kubelet.config().root_directory);
        let short = met(&levels, limits);
        let signals: Vec<Signal> = short.iter().map(|shortage| shortage.signal).collect();
        kubelet.note_pressure(&signals, Timestamp::now());
        let mut evicted = limit_local_storage(&kubelet).await;
        if let (true, Some(worst)) = (evicted.is_empty(), short.first())
            && !made_room(&kubelet, worst).await
        {
            evicted.extend(relieve(&kubelet, worst).await);
        }
        let gone = async {
            for entry in &evicted {
                entry.ended().await;
            }
        };
        // One that does not end in time does not keep the others.
        let _ = tokio::time::timeout(GONE_MAX, gone).await;
    }
}

/// Whether removing images that nothing uses was enough.
async fn made_room(kubelet: &Kubelet, shortage: &Shortage) -> bool {
    if shortage.signal.condition() != Condition::Disk {
        return false;
    }
    match remove_unused(kubelet).await {
        Ok(freed) if freed > 0 => {}
        Ok(_) => return false,
        Err(error) => {
            tracing::warn!(%error, "images that nothing uses stay");
            return false;
        }
    }
    let levels = kubelet.machine().levels(&kubelet.config().root_directory);
    let still = met(&levels, &kubelet.config().pressure);
    !still.iter().any(|short| short.signal == shortage.signal)
}

/// Evicts one pod.
async fn relieve(kubelet: &Arc<Kubelet>, shortage: &Shortage) -> Option<Arc<PodEntry>> {
    let resource = shortage.signal.resource();
    let text = format!("Attempting to reclaim {resource}");
    kubelet.events().node(EventType::Warning, "EvictionThresholdMet", text);
    let detail = match shortage.signal {
        Signal::MemoryAvailable | Signal::PidsAvailable => Detail::Groups,
        _ => Detail::DisksNow,
    };
    let used = collect(kubelet, detail).await;
    let entries = kubelet.pods();
    let pods: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.has_ended() && !entry.is_removed())
        .map(|entry| (Arc::clone(entry), entry.pod()))
        .filter(|(_, pod)| !is_critical(pod))
        .collect();
    let mut candidates: Vec<Candidate<'_>> = pods
        .iter()
        .filter_map(|(_, pod)| {
            let used = used.pods.iter().find(|used| used.uid == pod.uid())?;
            Some(Candidate { pod, used })
        })
        .collect();
    rank(shortage.signal, &mut candidates);
    let first = candidates.first()?;
    let (entry, _) = pods.iter().find(|(_, pod)| pod.uid() == first.pod.uid())?;
    evict(kubelet, entry, message(shortage, first));
    Some(Arc::clone(entry))
}

/// Evicts the pods that write more than they may.
async fn limit_local_storage(kubelet: &Arc<Kubelet>) -> Vec<Arc<PodEntry>> {
    let mut evicted = Vec::new();
    for entry in kubelet.pods() {
        let pod = entry.pod();
        if entry.has_ended() || is_critical(&pod) || !is_limited(&pod) {
            continue;
        }
        let Some(used) = measure_pod(kubelet, &entry).await else { continue };
        if let Some(why) = exceeded(&pod, &used) {
            evict(kubelet, &entry, why);
            evicted.push(entry);
        }
    }
    evicted
}

fn evict(kubelet: &Kubelet, entry: &PodEntry, message: String) {
    let pod = entry.pod();
    kubelet.events().pod(&pod, EventType::Warning, "Evicted", message.clone());
    entry.stop(Stop { grace: Some(GRACE), disrupts: true, ..Stop::of("Evicted", message) });
}
