//! Removing images that no container uses: when the disk is fuller than a threshold, or when they
//! were not used for long. Layers are shared by all nodes of the host, so what is freed is counted
//! where it is freed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::ImageCollection;
use crate::events::EventType;
use crate::eviction::Level;
use crate::kubelet::Kubelet;
use crate::lifecycle::backoff::since;
use crate::pod::PodExt;

/// What is known of images, by id.
type Known = BTreeMap<String, Seen>;

/// When an image was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    first: Timestamp,
    /// In use.
    last: Timestamp,
}

/// Collects for ever, every five minutes as upstream.
pub(crate) async fn run_image_gc(kubelet: Arc<Kubelet>) {
    let policy = kubelet.config().image_gc.clone();
    if policy.is_off() {
        return std::future::pending().await;
    }
    let began = Timestamp::now();
    let mut known = Known::new();
    let mut failed_before = false;
    let mut ticks = tokio::time::interval(policy.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let failure = collect(&kubelet, &policy, &mut known, began).await.err();
        match &failure {
            Some(error) if failed_before => {
                kubelet.events().node(EventType::Warning, "ImageGCFailed", error.clone());
            }
            Some(error) => tracing::warn!(%error, "image garbage collection failed once"),
            None => {}
        }
        failed_before = failure.is_some();
    }
}

/// Removes every image that nothing uses, as pressure of the disk asks for. Returns how many bytes
/// were freed.
pub(crate) async fn remove_unused(kubelet: &Kubelet) -> Result<u64, String> {
    let now = Timestamp::now();
    let mut known = Known::new();
    look(kubelet, &mut known, now).await?;
    let all = candidates(&known, now, Duration::ZERO);
    free(kubelet, &mut known, all, u64::MAX).await
}

async fn collect(
    kubelet: &Kubelet,
    policy: &ImageCollection,
    known: &mut Known,
    began: Timestamp,
) -> Result<(), String> {
    let now = Timestamp::now();
    look(kubelet, known, now).await?;
    if let Some(old) = too_old(known, now, began, policy.age_max) {
        free(kubelet, known, old, u64::MAX).await?;
    }
    let disk = kubelet.machine().levels(&kubelet.config().root_directory).disk;
    let disk = disk.ok_or("the disk's size is not known")?;
    if disk.capacity == 0 {
        let message = "invalid capacity 0 on image filesystem".to_owned();
        kubelet.events().node(EventType::Warning, "InvalidDiskCapacity", message.clone());
        return Err(message);
    }
    let Some(wanted) = excess(disk, policy) else { return Ok(()) };
    tracing::info!(
        bytes = wanted,
        "the disk is fuller than the high threshold: images are removed"
    );
    let eligible = candidates(known, now, policy.age_min);
    let freed = free(kubelet, known, eligible, wanted).await?;
    if freed >= wanted {
        return Ok(());
    }
    let message = format!(
        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but \
         only found {freed} bytes eligible to free."
    );
    kubelet.events().node(EventType::Warning, "FreeDiskSpaceFailed", message.clone());
    Err(message)
}

/// Notes which images there are, and which are in use now.
async fn look(kubelet: &Kubelet, known: &mut Known, now: Timestamp) -> Result<(), String> {
    let images = kubelet.images().list().await.map_err(|error| error.to_string())?;
    let used = in_use(kubelet).await?;
    // What was there before the first look may be of any age.
    let first = if known.is_empty() { Timestamp::UNIX_EPOCH } else { now };
    known.retain(|id, _| images.iter().any(|image| image.id == *id));
    for image in images {
        let never = Timestamp::UNIX_EPOCH;
        let seen = known.entry(image.id.clone()).or_insert(Seen { first, last: never });
        if used.contains(&image.id) {
            seen.last = now;
        }
    }
    Ok(())
}

/// The images of containers, ended ones too, and of pods' image volumes.
async fn in_use(kubelet: &Kubelet) -> Result<BTreeSet<String>, String> {
    let sandboxes = kubelet.runtime().list().await.map_err(|error| error.to_string())?;
    let containers = sandboxes.into_iter().flat_map(|sandbox| sandbox.containers);
    let mut used: BTreeSet<String> = containers.map(|one| one.spec.image_id).collect();
    for entry in kubelet.pods() {
        let pod = entry.pod();
        let volumes = pod.spec().volumes.iter().flatten();
        for source in volumes.filter_map(|volume| volume.image.as_ref()) {
            let reference = source.reference.as_deref().unwrap_or_default();
            // One that is not here is used by nobody.
            if let Ok(Some(image)) = kubelet.images().status(reference).await {
                used.insert(image.id);
            }
        }
    }
    Ok(used)
}

/// Images that are not in use and old enough, those unused for longest first.
fn candidates(known: &Known, now: Timestamp, age_min: Duration) -> Vec<String> {
    let mut unused: Vec<(&String, &Seen)> = known
        .iter()
        .filter(|(_, seen)| seen.last < now && since(seen.first, now) >= age_min)
        .collect();
    unused.sort_by_key(|(_, seen)| (seen.last, seen.first));
    unused.into_iter().map(|(id, _)| id.clone()).collect()
}

/// Images that were not used for longer than allowed; none until the kubelet could have seen that.
fn too_old(
    known: &Known,
    now: Timestamp,
    began: Timestamp,
    age_max: Option<Duration>,
) -> Option<Vec<String>> {
    let age_max = age_max.filter(|age_max| since(began, now) > *age_max)?;
    let mut old = candidates(known, now, Duration::ZERO);
    old.retain(|id| known.get(id).is_some_and(|seen| since(seen.last, now) > age_max));
    Some(old)
}

/// How many bytes to free, when the disk is fuller than the high threshold.
fn excess(disk: Level, policy: &ImageCollection) -> Option<u64> {
    let available = disk.available.min(disk.capacity);
    let share = |part: u64, percent: u128| u128::from(part) * percent / u128::from(disk.capacity);
    let used_percent = 100 - share(available, 100).min(100);
    if policy.high_percent >= 100 || used_percent < u128::from(policy.high_percent) {
        return None;
    }
    let wanted = disk.capacity / 100 * u64::from(100 - policy.low_percent.min(100));
    wanted.checked_sub(available).filter(|bytes| *bytes > 0)
}

/// Frees layers that nothing uses, then removes images one by one.
async fn free(
    kubelet: &Kubelet,
    known: &mut Known,
    candidates: Vec<String>,
    wanted: u64,
) -> Result<u64, String> {
    let text = |error: kd_runtime::Error| error.to_string();
    let images = kubelet.images();
    let making = images.making();
    let mut freed = images.free(wanted).await.map_err(text)?;
    for id in candidates {
        if freed >= wanted {
            break;
        }
        // Whoever makes a container now is seen among the users after that.
        let _alone = making.write().await;
        if in_use(kubelet).await?.contains(&id) {
            continue;
        }
        tracing::info!(image = %id, "an image that nothing uses is removed");
        images.remove(&id).await.map_err(text)?;
        known.remove(&id);
        freed += images.free(wanted - freed).await.map_err(text)?;
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known(images: &[(&str, i64, i64)]) -> Known {
        let seen = |(id, first, last): &(&str, i64, i64)| {
            ((*id).to_owned(), Seen { first: at(*first), last: at(*last) })
        };
        images.iter().map(seen).collect()
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let all = known(&[
            ("new", 950, 0),
            ("used", 0, 1000),
            ("b", 0, 700),
            ("a", 10, 700),
            ("c", 0, 600),
        ]);
        let check = |age_min, expect: &[&str]| {
            assert_eq!(candidates(&all, at(1000), Duration::from_secs(age_min)), expect);
        };
        check(120, &["c", "b", "a"]);
        check(0, &["new", "c", "b", "a"]);
        check(2000, &[]);
    }

    #[test]
    fn old_images_go_once_the_kubelet_could_know() {
        let all = known(&[("old", 0, 100), ("fresh", 0, 950), ("used", 0, 1000)]);
        let check = |began, age_max: Option<u64>, expect: Option<&[&str]>| {
            let found = too_old(&all, at(1000), at(began), age_max.map(Duration::from_secs));
            let expect = expect.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(found, expect);
        };
        check(0, None, None);
        check(900, Some(500), None);
        check(0, Some(500), Some(&["old"]));
        check(0, Some(10), Some(&["old", "fresh"]));
    }

    #[test]
    fn thresholds() {
        let check = |high, low, available, expect: Option<u64>| {
            let policy = ImageCollection {
                high_percent: high,
                low_percent: low,
                ..ImageCollection::default()
            };
            let disk = Level { capacity: 1000, available };
            assert_eq!(excess(disk, &policy), expect, "{high} {low} {available}");
        };
        check(85, 80, 100, Some(100));
        check(85, 80, 150, Some(50));
        check(85, 80, 151, Some(49));
        check(85, 80, 160, None);
        check(85, 80, 2000, None);
        check(100, 80, 0, None);
        check(0, 0, 1000, None);
        check(0, 0, 999, Some(1));
    }
}
