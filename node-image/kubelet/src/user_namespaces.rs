//! Which ids of the node belong to the user namespaces of its pods (`hostUsers: false`, KEP-127):
//! 65536 each, apart from all others and from the node's own. A pod keeps its range for its life; a
//! kubelet that starts again reads the ranges from the sandboxes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kd_runtime::IdRange;

use crate::error::{Error, Result};
use crate::pod::PodExt;

/// Ids of one pod, as upstream has it.
const LENGTH: u32 = 1 << 16;

/// Ranges by pod uid. The first range is the node's own.
#[derive(Default)]
pub struct IdRanges(Mutex<BTreeMap<String, u32>>);

/// Whether a pod has a user namespace of its own.
pub fn has_user_namespace(pod: &Pod) -> bool {
    pod.spec().host_users == Some(false) && !pod.on_host_network()
}

impl IdRanges {
    /// A range for a pod. A pod that has one keeps it.
    pub fn allocate(&self, uid: &str) -> Result<IdRange> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = given.get(uid) {
            return Ok(IdRange { first: *first, length: LENGTH });
        }
        let taken: std::collections::BTreeSet<u32> = given.values().copied().collect();
        let free = (1..u32::MAX / LENGTH).map(|block| block * LENGTH).find(|b| !taken.contains(b));
        let first = free.ok_or_else(|| {
            Error::Pod("could not find an empty slot to allocate a user namespace".into())
        })?;
        given.insert(uid.to_owned(), first);
        Ok(IdRange { first, length: LENGTH })
    }

    /// The range that a pod has already.
    pub fn adopt(&self, uid: &str, range: IdRange) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(uid.to_owned(), range.first);
    }

    /// Nothing of the pod is left.
    pub fn release(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Since when the file systems of volumes, tmpfs among them, take the ids of a pod.
const KERNEL_MIN: (u32, u32) = (6, 3);

/// Whether this kernel can give pods user namespaces.
pub fn kernel_has_user_namespaces() -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let most = read("/proc/sys/user/max_user_namespaces").trim().parse::<u64>();
    most.is_ok_and(|most| most > 0) && is_recent(&read("/proc/sys/kernel/osrelease"))
}

fn is_recent(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= KERNEL_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels() {
        let check =
            |release: &str, expect: bool| assert_eq!(is_recent(release), expect, "{release}");
        check("6.1.0-56-cloud-amd64\n", false);
        check("6.3.0", true);
        check("6.12-rc1", true);
        check("5.15.0", false);
        check("7.0", true);
        check("", false);
    }

    #[test]
    fn ranges_are_apart_and_stay() {
        let ranges = IdRanges::default();
        ranges.adopt("old", IdRange { first: 65536, length: LENGTH });
        let first = |uid: &str| ranges.allocate(uid).unwrap().first;
        assert_eq!((first("a"), first("b"), first("a")), (131_072, 196_608, 131_072));
        assert_eq!(first("old"), 65536);
        ranges.release("a");
        assert_eq!(first("c"), 131_072);
    }
}
