//! Making an image present for a container: pull policy, events, back-off, in upstream's words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kd_runtime::{Error, Image, ImageError, Images, RegistryAuth};
use tokio::sync::Semaphore;

use crate::events::{EventType, Recorder};
use crate::lifecycle::Waiting;
use crate::lifecycle::backoff::{BackOff, later};
use crate::pod::{Member, PodExt};

/// How long `ErrImagePull` shows before `ImagePullBackOff` takes its place.
const ERROR_SHOWN: Duration = Duration::from_secs(3);

/// Images as containers need them.
pub struct Puller {
    images: Arc<dyn Images>,
    events: Arc<Recorder>,
    pulls: Semaphore,
    /// Failed pulls by pod and image.
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    backoff: BackOff,
    last: HashMap<String, (Timestamp, String)>,
}

impl Puller {
    /// A puller into `images`, with so many pulls at the same time.
    pub fn new(images: Arc<dyn Images>, events: Arc<Recorder>, pulls_max: usize) -> Puller {
        Puller { images, events, pulls: Semaphore::new(pulls_max), failures: Mutex::default() }
    }

    /// The image of a container, pulled if its policy says so; else what the container waits for.
    pub async fn ensure(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        secrets: impl AsyncFnOnce() -> Vec<RegistryAuth>,
    ) -> Result<Image, Waiting> {
        let now = Timestamp::now();
        let written = member.container.image.as_deref().unwrap_or_default();
        let present = match self.images.status(written).await {
            Ok(present) => present,
            Err(error) => return Err(self.inspect_failed(pod, member, written, &error, now)),
        };
        let policy = policy(&member.container);
        match (present, policy) {
            (Some(image), Policy::IfNotPresent | Policy::Never) => {
                let message = format!(
                    "Container image \"{written}\" already present on machine and can be accessed by the pod"
                );
                self.events.container(pod, member, EventType::Normal, "Pulled", message);
                Ok(image)
            }
            (None, Policy::Never) => {
                let message = format!(
                    "Container image \"{written}\" is not present with pull policy of Never"
                );
                self.tell(pod, member, "ErrImageNeverPull", &message);
                self.tell(pod, member, "Failed", "Error: ErrImageNeverPull");
                Err(waiting("ErrImageNeverPull", message, later(now, Duration::from_secs(10))))
            }
            (_, Policy::Always | Policy::IfNotPresent) => {
                self.held(pod, member, written, now)?;
                let auth = secrets().await;
                self.pull(pod, member, written, &auth).await
            }
        }
    }

    /// Forgets the failures of a pod.
    pub fn forget(&self, pod: &Pod) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for member in pod.members() {
            let key = key(pod, member.container.image.as_deref().unwrap_or_default());
            failures.backoff.forget(&key);
            failures.last.remove(&key);
        }
    }

    fn held(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        written: &str,
        now: Timestamp,
    ) -> Result<(), Waiting> {
        let key = key(pod, written);
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((failed_at, cause)) = failures.last.get(&key) else { return Ok(()) };
        let Some((_, until)) = failures.backoff.holds(&key, *failed_at, now) else { return Ok(()) };
        let message = format!("Back-off pulling image \"{written}\"");
        let event = message.clone();
        self.events.container(pod, member, EventType::Normal, "BackOff", event);
        self.tell(pod, member, "Failed", "Error: ImagePullBackOff");
        Err(waiting("ImagePullBackOff", format!("{message}: {cause}"), until))
    }

    async fn pull(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        written: &str,
        auth: &[RegistryAuth],
    ) -> Result<Image, Waiting> {
        let pulling = format!("Pulling image \"{written}\"");
        self.events.container(pod, member, EventType::Normal, "Pulling", pulling);
        let asked = Instant::now();
        // The semaphore is never closed.
        let _permit = self.pulls.acquire().await.ok();
        let begun = Instant::now();
        match self.images.pull(written, auth).await {
            Ok(image) => {
                let message = format!(
                    "Successfully pulled image \"{written}\" in {} ({} including waiting). Image size: {} bytes.",
                    milliseconds(begun.elapsed()),
                    milliseconds(asked.elapsed()),
                    image.size_bytes
                );
                self.events.container(pod, member, EventType::Normal, "Pulled", message);
                self.forget(pod);
                Ok(image)
            }
            Err(error) => Err(self.pull_failed(pod, member, written, &error)),
        }
    }

    fn pull_failed(&self, pod: &Pod, member: &Member<'_>, written: &str, error: &Error) -> Waiting {
        let now = Timestamp::now();
        let (reason, message) = match error {
            Error::Image(ImageError::InvalidName { .. }) => ("InvalidImageName", error.to_string()),
            _ => ("ErrImagePull", error.to_string()),
        };
        self.tell(pod, member, "Failed", &format!("Failed to pull image \"{written}\": {message}"));
        self.tell(pod, member, "Failed", &format!("Error: {reason}"));
        let key = key(pod, written);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.backoff.next(&key, now, now);
        failures.last.insert(key, (now, format!("{reason}: {message}")));
        waiting(reason, message, later(now, ERROR_SHOWN))
    }

    fn inspect_failed(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        written: &str,
        error: &Error,
        now: Timestamp,
    ) -> Waiting {
        let invalid = matches!(error, Error::Image(ImageError::InvalidName { .. }));
        let (reason, message) = match (invalid, error) {
            (true, Error::Image(ImageError::InvalidName { reason, .. })) => (
                "InvalidImageName",
                format!(
                    "Failed to apply default image tag \"{written}\": couldn't parse image name \"{written}\": {reason}"
                ),
            ),
            _ => ("ImageInspectError", format!("Failed to inspect image \"{written}\": {error}")),
        };
        self.tell(pod, member, "InspectFailed", &message);
        self.tell(pod, member, "Failed", &format!("Error: {reason}"));
        waiting(reason, message, later(now, Duration::from_secs(10)))
    }

    fn tell(&self, pod: &Pod, member: &Member<'_>, reason: &str, message: &str) {
        self.events.container(pod, member, EventType::Warning, reason, message);
    }
}

enum Policy {
    Always,
    IfNotPresent,
    Never,
}

fn policy(container: &Container) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        _ => Policy::IfNotPresent,
    }
}

fn waiting(reason: &str, message: String, retry_at: Timestamp) -> Waiting {
    Waiting { reason: reason.to_owned(), message, retry_at }
}

fn key(pod: &Pod, image: &str) -> String {
    format!("{}_{image}", pod.uid())
}

/// As Go prints a duration truncated to milliseconds.
fn milliseconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis}ms"),
        millis @ 1000..60_000 => format!("{}s", trimmed(millis)),
        millis => format!("{}m{}s", millis / 60_000, trimmed(millis % 60_000)),
    }
}

fn trimmed(millis: u128) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |millis, expect: &str| {
            assert_eq!(milliseconds(Duration::from_millis(millis)), expect);
        };
        check(7, "7ms");
        check(1200, "1.2s");
        check(3000, "3s");
        check(61_050, "1m1.05s");
    }
}
