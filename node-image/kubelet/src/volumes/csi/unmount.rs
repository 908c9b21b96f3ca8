//! Taking volumes away from pods and, after the last pod, from the node. Works from what is on disk:
//! whoever mounted them may have been another process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::{Lifecycle, Record, gone};
use super::wanted::WantedVolume;
use super::{Csi, Use, VolumeId};
use crate::volumes::directory::is_mounted;

/// What a killed kubelet left staged is tried to be taken away again after this long, then twice as
/// long.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(122);

impl Csi {
    /// Takes away all CSI volumes of a pod, whose containers have ended.
    pub async fn take_away(&self, uid: &str) -> Result<(), String> {
        let mut failed = None;
        for directory in entries(&self.places.volumes_of(uid)) {
            if let Err(error) = self.unpublish(uid, &directory).await {
                failed.get_or_insert(error);
            }
        }
        for link in entries(&self.places.devices_of(uid)) {
            if let Err(error) = self.unpublish_block(uid, &link).await {
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // What was wanted and never published.
        let wanted = self.used_by(uid);
        for volume in wanted {
            self.release(&volume, uid).await?;
        }
        Ok(())
    }

    async fn unpublish(&self, uid: &str, directory: &Path) -> Result<(), String> {
        let target = directory.join("mount");
        let Some(record) = Record::load(directory) else {
            return text("remove", directory, Record::remove(directory));
        };
        let id = VolumeId { driver: record.driver, handle: record.handle };
        let _alone = self.lock(&id).await;
        let failed = |reason: String| {
            format!("UnmountVolume.TearDown failed for volume \"{}\" : {reason}", record.name)
        };
        const PREFIX: &str = "kubernetes.io/csi: Unmounter.TearDownAt failed";
        let driver = self.driver(&id.driver);
        let driver = driver.map_err(|e| failed(format!("{PREFIX} to get CSI client: {e}")))?;
        let done = driver.unpublish(&id.handle, &target).await;
        done.map_err(|status| failed(format!("{PREFIX}: {status}")))?;
        if is_mounted(&target).unwrap_or(true) {
            return Err(failed(format!("{} is still mounted", target.display())));
        }
        text("remove", &target, gone(fs::remove_dir(&target)))?;
        if record.lifecycle == Lifecycle::Persistent {
            self.release_alone(&id, uid).await?;
        }
        text("remove", directory, Record::remove(directory))
    }

    async fn unpublish_block(&self, uid: &str, link: &Path) -> Result<(), String> {
        let name = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let data = self.places.block_data(&name);
        if let Some(record) = Record::load(&data) {
            let id = VolumeId { driver: record.driver, handle: record.handle };
            let _alone = self.lock(&id).await;
            let target = self.places.block_published(&name).join(uid);
            let failed = |reason: String| {
                format!("UnmapVolume.UnmapPodDevice failed for volume \"{name}\" : {reason}")
            };
            let driver = self.driver(&id.driver).map_err(failed)?;
            let done = driver.unpublish(&id.handle, &target).await;
            done.map_err(|status| failed(status.to_string()))?;
            text("remove", &target, gone(fs::remove_file(&target)))?;
            self.release_alone(&id, uid).await?;
        }
        text("remove", link, gone(fs::remove_file(link)))
    }

    fn used_by(&self, uid: &str) -> Vec<VolumeId> {
        let users = self.users();
        let ours = users.iter().filter(|(_, user)| user.pods.contains(uid));
        ours.map(|(volume, _)| volume.clone()).collect()
    }

    pub(super) fn note_use(&self, wanted: &WantedVolume, uid: &str, attached: bool) {
        let block = wanted.usage.block.then(|| wanted.name.clone());
        self.change_users(|users| {
            let user = users.entry(wanted.id.clone()).or_default();
            user.pods.insert(uid.to_owned());
            (user.attached, user.block) = (attached, block);
        });
    }

    async fn release(&self, volume: &VolumeId, uid: &str) -> Result<(), String> {
        let _alone = self.lock(volume).await;
        self.release_alone(volume, uid).await
    }

    /// A pod has the volume no more; after the last one it is no longer staged. The caller holds the
    /// volume's lock.
    async fn release_alone(&self, volume: &VolumeId, uid: &str) -> Result<(), String> {
        let Some(user) = self.users().get(volume).cloned() else { return Ok(()) };
        let others = user.pods.iter().any(|pod| pod != uid);
        if !others {
            self.unstage(volume, &user).await?;
        }
        // Another pod may have asked for it meanwhile.
        self.change_users(|users| {
            if let Some(user) = users.get_mut(volume) {
                user.pods.remove(uid);
                if user.pods.is_empty() {
                    users.remove(volume);
                }
            }
        });
        Ok(())
    }

    async fn unstage(&self, volume: &VolumeId, user: &Use) -> Result<(), String> {
        let staging = match &user.block {
            Some(name) => self.places.block_staging(name),
            None => self.places.staging(&volume.driver, &volume.handle),
        };
        if !staging.exists() {
            return Ok(());
        }
        let failed = |reason: String| {
            let unique = volume.unique_name();
            format!("UnmountDevice failed for volume \"{unique}\" : {reason}")
        };
        let driver = self.driver(&volume.driver).map_err(failed)?;
        let known = driver.capabilities().await.map_err(|status| failed(status.to_string()))?;
        if known.stage {
            let done = driver.unstage(&volume.handle, &staging).await;
            done.map_err(|status| {
                failed(format!("kubernetes.io/csi: attacher.UnmountDevice failed: {status}"))
            })?;
        }
        if is_mounted(&staging).unwrap_or(true) {
            return Err(failed(format!("{} is still mounted", staging.display())));
        }
        text("remove", &staging, gone(fs::remove_dir(&staging)))?;
        match &user.block {
            Some(name) => {
                let data = self.places.block_data(name);
                text("remove", &data, Record::remove(&data))?;
                let _ = fs::remove_dir(self.places.block_published(name));
                let _ = fs::remove_dir(data.parent().unwrap_or(&data));
                Ok(())
            }
            None => {
                let data = staging.parent().unwrap_or(&staging);
                text("remove", data, Record::remove(data))
            }
        }
    }

    /// Finds who uses which volume from what is on disk.
    pub(super) fn find_used(&self) {
        let mut found: Vec<(Record, Option<String>, Option<String>)> = Vec::new();
        for pod in entries(&self.places.pods()) {
            let uid = pod.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for directory in entries(&self.places.volumes_of(&uid)) {
                found.extend(Record::load(&directory).map(|r| (r, Some(uid.clone()), None)));
            }
            for link in entries(&self.places.devices_of(&uid)) {
                let name = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let record = Record::load(&self.places.block_data(&name));
                found.extend(record.map(|r| (r, Some(uid.clone()), Some(name))));
            }
        }
        for driver in entries(&self.places.plugin()) {
            for directory in entries(&driver) {
                found.extend(Record::load(&directory).map(|r| (r, None, None)));
                let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let block = Record::load(&directory.join("data"));
                found.extend(block.map(|r| (r, None, Some(name))));
            }
        }
        self.change_users(|users| {
            let lasting = found.into_iter().filter(|(r, ..)| r.lifecycle == Lifecycle::Persistent);
            for (record, uid, block) in lasting {
                let id = VolumeId { driver: record.driver, handle: record.handle };
                let user = users.entry(id).or_default();
                user.pods.extend(uid);
                user.attached |= !record.attachment.is_empty();
                user.block = user.block.take().or(block);
            }
        });
    }

    /// Takes away what is staged for nobody: a kubelet was killed between the last pod's end and
    /// this.
    pub async fn remove_leftovers(&self) {
        let mut delay = RETRY_MIN;
        loop {
            let unused: Vec<VolumeId> = {
                let users = self.users();
                let unused = users.iter().filter(|(_, user)| user.pods.is_empty());
                unused.map(|(volume, _)| volume.clone()).collect()
            };
            let mut failed = false;
            for volume in unused {
                if let Err(error) = self.release(&volume, "").await {
                    tracing::debug!(error, "a volume is staged for nobody");
                    failed = true;
                }
            }
            if !failed {
                return;
            }
            // Its driver may not be registered yet.
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).collect()
}

fn text(operation: &str, path: &Path, done: std::io::Result<()>) -> Result<(), String> {
    done.map_err(|error| format!("{operation} {}: {error}", path.display()))
}
