//! `csi.v1.Node` of a driver: its calls and their fields (github.com/container-storage-interface).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::grpc::{Code, Fields, Message, Status, call};

/// Upstream's limit for one call.
const CALL_MAX: Duration = Duration::from_secs(120);

/// A registered driver's node service.
#[derive(Clone, Debug)]
pub struct NodeService {
    socket: PathBuf,
}

/// What a driver can do on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// STAGE_UNSTAGE_VOLUME
    pub stage: bool,
    /// GET_VOLUME_STATS
    pub stats: bool,
    /// EXPAND_VOLUME
    pub expand: bool,
    /// SINGLE_NODE_MULTI_WRITER
    pub single_node_multi_writer: bool,
    /// VOLUME_MOUNT_GROUP
    pub mount_group: bool,
}

/// What `NodeGetInfo` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// The driver's name of the node.
    pub id: String,
    /// Most volumes on the node; none is no limit.
    pub volumes_max: Option<i64>,
    /// Where the node is.
    pub topology: BTreeMap<String, String>,
}

/// How a volume is to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// As a device.
    pub block: bool,
    /// The file system.
    pub fs_type: String,
    /// Mount options.
    pub flags: Vec<String>,
    /// The group that the driver is to give the files to.
    pub group: String,
    /// The API's access mode.
    pub access_mode: String,
}

/// What is said about a volume with each call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// What attaching has told.
    pub publish: BTreeMap<String, String>,
    /// Attributes.
    pub volume: BTreeMap<String, String>,
    /// Secrets.
    pub secrets: BTreeMap<String, String>,
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeStats {
    /// Total, available and used bytes.
    pub bytes: (u64, u64, u64),
    /// The same of inodes.
    pub inodes: (u64, u64, u64),
}

impl Usage {
    fn capability(&self, known: &Capabilities) -> Message {
        let access = if self.block {
            Message::new().message(1, &Message::new())
        } else {
            let mount = Message::new().text(1, &self.fs_type).texts(2, &self.flags);
            Message::new().message(2, &mount.text(3, &self.group))
        };
        let mode = access_mode(&self.access_mode, known.single_node_multi_writer);
        access.message(3, &Message::new().number(1, mode))
    }
}

/// The driver's access mode for the API's. Drivers that know the newer ones tell one pod from one
/// node.
fn access_mode(mode: &str, knows_multi_writer: bool) -> i64 {
    match (mode, knows_multi_writer) {
        ("ReadOnlyMany", _) => 3,
        ("ReadWriteMany", _) => 5,
        ("ReadWriteOncePod", true) => 6,
        (_, true) => 7,
        (_, false) => 1,
    }
}

impl NodeService {
    /// The service behind a socket.
    pub fn new(socket: PathBuf) -> NodeService {
        NodeService { socket }
    }

    async fn call(&self, method: &str, request: &Message) -> Result<Fields, Status> {
        call(&self.socket, &format!("/csi.v1.Node/{method}"), request, CALL_MAX).await
    }

    /// `NodeGetInfo`
    pub async fn info(&self) -> Result<NodeInfo, Status> {
        let answer = self.call("NodeGetInfo", &Message::new()).await?;
        let limit = answer.number(2);
        Ok(NodeInfo {
            id: answer.text(1),
            volumes_max: (limit > 0).then_some(limit),
            topology: answer.message(3)?.map(1)?,
        })
    }

    /// `NodeGetCapabilities`
    pub async fn capabilities(&self) -> Result<Capabilities, Status> {
        let answer = self.call("NodeGetCapabilities", &Message::new()).await?;
        let mut found = Vec::new();
        for capability in answer.messages(1)? {
            found.push(capability.message(1)?.number(1));
        }
        let has = |number: i64| found.contains(&number);
        Ok(Capabilities {
            stage: has(1),
            stats: has(2),
            expand: has(3),
            single_node_multi_writer: has(5),
            mount_group: has(6),
        })
    }

    /// `NodeStageVolume`
    pub async fn stage(
        &self,
        handle: &str,
        staging: &Path,
        usage: &Usage,
        known: &Capabilities,
        contexts: &Contexts,
    ) -> Result<(), Status> {
        let request = Message::new()
            .text(1, handle)
            .map(2, &contexts.publish)
            .text(3, &staging.to_string_lossy())
            .message(4, &usage.capability(known))
            .map(5, &contexts.secrets)
            .map(6, &contexts.volume);
        self.call("NodeStageVolume", &request).await.map(drop)
    }

    /// `NodeUnstageVolume`
    pub async fn unstage(&self, handle: &str, staging: &Path) -> Result<(), Status> {
        let request = Message::new().text(1, handle).text(2, &staging.to_string_lossy());
        self.call("NodeUnstageVolume", &request).await.map(drop)
    }

    /// `NodePublishVolume`
    pub async fn publish(
        &self,
        handle: &str,
        paths: (&Path, Option<&Path>),
        usage: &Usage,
        known: &Capabilities,
        contexts: &Contexts,
        read_only: bool,
    ) -> Result<(), Status> {
        let (target, staging) = paths;
        let request = Message::new()
            .text(1, handle)
            .map(2, &contexts.publish)
            .text(3, &staging.map(Path::to_string_lossy).unwrap_or_default())
            .text(4, &target.to_string_lossy())
            .message(5, &usage.capability(known))
            .flag(6, read_only)
            .map(7, &contexts.secrets)
            .map(8, &contexts.volume);
        self.call("NodePublishVolume", &request).await.map(drop)
    }

    /// `NodeUnpublishVolume`
    pub async fn unpublish(&self, handle: &str, target: &Path) -> Result<(), Status> {
        let request = Message::new().text(1, handle).text(2, &target.to_string_lossy());
        self.call("NodeUnpublishVolume", &request).await.map(drop)
    }

    /// `NodeExpandVolume`
    pub async fn expand(
        &self,
        handle: &str,
        paths: (&Path, Option<&Path>),
        size_bytes: i64,
        usage: &Usage,
        known: &Capabilities,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), Status> {
        let (target, staging) = paths;
        let request = Message::new()
            .text(1, handle)
            .text(2, &target.to_string_lossy())
            .message(3, &Message::new().number(1, size_bytes))
            .text(4, &staging.map(Path::to_string_lossy).unwrap_or_default())
            .message(5, &usage.capability(known))
            .map(6, secrets);
        self.call("NodeExpandVolume", &request).await.map(drop)
    }

    /// `NodeGetVolumeStats`
    pub async fn stats(
        &self,
        handle: &str,
        target: &Path,
        staging: Option<&Path>,
    ) -> Result<VolumeStats, Status> {
        let request = Message::new()
            .text(1, handle)
            .text(2, &target.to_string_lossy())
            .text(3, &staging.map(Path::to_string_lossy).unwrap_or_default());
        volume_stats(&self.call("NodeGetVolumeStats", &request).await?)
    }
}

fn volume_stats(answer: &Fields) -> Result<VolumeStats, Status> {
    let mut stats = VolumeStats::default();
    for usage in answer.messages(1)? {
        let number = |field| u64::try_from(usage.number(field)).unwrap_or(0);
        let found = (number(2), number(1), number(3));
        match usage.number(4) {
            1 => stats.bytes = found,
            2 => stats.inodes = found,
            unit => {
                let text = format!("unknown unit {unit} in VolumeUsage");
                return Err(Status::new(Code::Internal, text));
            }
        }
    }
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn read(message: &Message) -> Fields {
        Fields::read(Bytes::copy_from_slice(message.encoded())).unwrap()
    }

    #[test]
    fn how_volumes_are_used() {
        let newer = Capabilities { single_node_multi_writer: true, ..Capabilities::default() };
        let check = |mode: &str, old: i64, new: i64| {
            let usage = Usage { access_mode: mode.into(), ..Usage::default() };
            let asked = |known| read(&usage.capability(known)).message(3).unwrap().number(1);
            assert_eq!((asked(&Capabilities::default()), asked(&newer)), (old, new), "{mode}");
        };
        check("ReadWriteOnce", 1, 7);
        check("ReadOnlyMany", 3, 3);
        check("ReadWriteMany", 5, 5);
        check("ReadWriteOncePod", 1, 6);
        let usage = Usage {
            fs_type: "ext4".into(),
            flags: vec!["noatime".into()],
            group: "5".into(),
            ..Usage::default()
        };
        let mount = read(&usage.capability(&newer)).message(2).unwrap();
        assert_eq!((mount.text(1), mount.texts(2), mount.text(3)), usage_parts("ext4", "5"));
        let block = Usage { block: true, ..Usage::default() };
        let block = read(&block.capability(&newer));
        assert!(block.has(1) && !block.has(2));
    }

    fn usage_parts(fs_type: &str, group: &str) -> (String, Vec<String>, String) {
        (fs_type.into(), vec!["noatime".into()], group.into())
    }

    #[test]
    fn how_full_volumes_are() {
        let usage =
            |unit: i64| Message::new().number(1, 6).number(2, 10).number(3, 4).number(4, unit);
        let told = read(&Message::new().messages(1, [usage(1), usage(2)]));
        let expect = VolumeStats { bytes: (10, 6, 4), inodes: (10, 6, 4) };
        assert_eq!(volume_stats(&told).unwrap(), expect);
        assert!(volume_stats(&read(&Message::new().messages(1, [usage(9)]))).is_err());
    }
}
