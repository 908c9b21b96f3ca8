//! A pod as the rest of the kubelet sees it; its worker owns everything else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{Notify, watch};

use crate::lifecycle::Stop;
use crate::pod::PodExt;
use crate::resize::Allocation;
use crate::volumes::Claimed;

/// A pod of this node.
pub struct PodEntry {
    pod: watch::Sender<Arc<Pod>>,
    status: RwLock<Arc<PodStatus>>,
    sandboxes: RwLock<Vec<String>>,
    claimed: RwLock<HashMap<String, Claimed>>,
    stop: RwLock<Option<Stop>>,
    allocation: RwLock<Option<Allocation>>,
    /// A resize waits for room.
    deferred: AtomicBool,
    wake: Notify,
    removed: AtomicBool,
    changed: AtomicBool,
    ended: watch::Sender<bool>,
    admitted: AtomicBool,
}

impl PodEntry {
    /// A pod with the sandboxes that the runtime already has for it.
    pub fn new(pod: Arc<Pod>, sandboxes: Vec<String>) -> PodEntry {
        let status = Arc::new(PodExt::status(pod.as_ref()).clone());
        PodEntry {
            ended: watch::Sender::new(pod.is_terminal()),
            admitted: AtomicBool::new(!sandboxes.is_empty()),
            pod: watch::Sender::new(pod),
            status: RwLock::new(status),
            sandboxes: RwLock::new(sandboxes),
            claimed: RwLock::default(),
            stop: RwLock::default(),
            allocation: RwLock::default(),
            deferred: AtomicBool::new(false),
            wake: Notify::new(),
            removed: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        }
    }

    /// The pod as the API server last told.
    pub fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.pod.borrow())
    }

    /// The pod with the resources that it was granted.
    pub fn granted_pod(&self) -> Arc<Pod> {
        let pod = self.pod();
        match &*self.allocation.read().unwrap_or_else(PoisonError::into_inner) {
            Some(allocation) if *allocation != Allocation::asked(&pod) => {
                Arc::new(allocation.applied(&pod))
            }
            _ => pod,
        }
    }

    /// What it was granted; none before it was let in.
    pub(crate) fn allocation(&self) -> Option<Allocation> {
        self.allocation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_allocation(&self, allocation: Allocation) {
        *self.allocation.write().unwrap_or_else(PoisonError::into_inner) = Some(allocation);
    }

    /// Whether a resize waits for other pods to leave room.
    pub(crate) fn set_deferred(&self, deferred: bool) {
        self.deferred.store(deferred, Ordering::Release);
    }

    pub(crate) fn is_deferred(&self) -> bool {
        self.deferred.load(Ordering::Acquire)
    }

    /// The status last computed here.
    pub fn status(&self) -> Arc<PodStatus> {
        Arc::clone(&self.status.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its sandboxes, oldest first.
    pub fn sandboxes(&self) -> Vec<String> {
        self.sandboxes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing of it runs or will run again.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until that is so.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this entry.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Waits until the API server knows that the pod is over.
    pub(crate) async fn told_as_over(&self) {
        let _ = self.pod.subscribe().wait_for(|pod| pod.is_terminal()).await;
    }

    /// Ends the pod for a reason of the kubelet's own; the first one counts.
    pub(crate) fn stop(&self, stop: Stop) {
        self.stop.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
        self.wake();
    }

    pub(crate) fn stop_reason(&self) -> Option<Stop> {
        self.stop.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes its worker look again.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A newer version of the pod.
    pub(crate) fn update(&self, pod: Arc<Pod>) {
        let known = self.pod.send_replace(Arc::clone(&pod));
        match is_input_changed(&known, &pod) {
            true => self.input_changed(),
            false => self.wake(),
        }
    }

    /// The pod is gone from the API server.
    pub(crate) fn remove(&self) {
        self.removed.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Something the pod's containers are made from changed: what failed may succeed now.
    pub(crate) fn input_changed(&self) {
        self.changed.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn take_input_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The volumes behind its claims, by their names in the pod, once they are mounted.
    pub(crate) fn claimed(&self) -> HashMap<String, Claimed> {
        self.claimed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_claimed(&self, claimed: HashMap<String, Claimed>) {
        *self.claimed.write().unwrap_or_else(PoisonError::into_inner) = claimed;
    }

    pub(crate) fn set_status(&self, status: PodStatus) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    pub(crate) fn set_ended(&self) {
        self.ended.send_replace(true);
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    pub(crate) fn set_admitted(&self) {
        self.admitted.store(true, Ordering::Release);
    }

    pub(crate) fn set_sandboxes(&self, sandboxes: Vec<String>) {
        *self.sandboxes.write().unwrap_or_else(PoisonError::into_inner) = sandboxes;
    }
}

/// Whether the parts that containers and volumes are made from differ: most updates are the echo of
/// a status.
fn is_input_changed(before: &Pod, now: &Pod) -> bool {
    before.metadata.labels != now.metadata.labels
        || before.metadata.annotations != now.metadata.annotations
        || before.spec != now.spec
}
