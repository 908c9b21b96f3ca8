//! Plugins of the node: whoever makes a socket in `plugins_registry` is asked what it is and told
//! whether it was taken on (the plugin registration API, v1).

use std::collections::HashMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::devices::Devices;
use crate::grpc::{Message, call};
use crate::kubelet::Kubelet;
use crate::logs::FileWatch;
use crate::volumes::make_directory;

/// Below the kubelet's root.
const DIRECTORY: &str = "plugins_registry";
/// Upstream's limits for the two calls.
const INFO_MAX: Duration = Duration::from_secs(10);
const NOTIFY_MAX: Duration = Duration::from_secs(5);
/// A plugin that could not be taken on is tried again after this long, then twice as long. The first
/// time is short: a socket is there a moment before anybody listens.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(122);
/// More sockets are not looked at.
const SOCKETS_MAX: usize = 1000;

/// Tells one socket from the next of the same name.
type Identity = (u64, u64, i64, i64);

struct Watched {
    /// None when the socket is gone.
    identity: Option<Identity>,
    gone: CancellationToken,
    /// Ends when the plugin was let go.
    task: JoinHandle<()>,
}

/// Takes plugins on and lets them go as their sockets come and go.
pub(crate) async fn watch_plugins(kubelet: Arc<Kubelet>) {
    let directory = kubelet.config().root_directory.join(DIRECTORY);
    let watched = make_directory(&directory, 0o750).and_then(|()| FileWatch::directory(&directory));
    let mut changes = match watched {
        Ok(changes) => changes,
        Err(error) => {
            tracing::error!(directory = %directory.display(), %error, "plugins cannot be watched");
            return std::future::pending().await;
        }
    };
    // Drivers write to these objects.
    kubelet.node().await;
    let mut known: HashMap<PathBuf, Watched> = HashMap::new();
    while changes.changed().await.unwrap_or(false) {
        follow(&kubelet, &mut known, sockets(&directory));
    }
    tracing::error!(directory = %directory.display(), "plugins are not watched any more");
    std::future::pending().await
}

fn sockets(directory: &Path) -> HashMap<PathBuf, Identity> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let found = visible.filter_map(|entry| {
        let metadata = entry.metadata().ok().filter(|m| m.file_type().is_socket())?;
        let times = (metadata.ctime(), metadata.ctime_nsec());
        Some((entry.path(), (metadata.dev(), metadata.ino(), times.0, times.1)))
    });
    found.take(SOCKETS_MAX).collect()
}

fn follow(
    kubelet: &Arc<Kubelet>,
    known: &mut HashMap<PathBuf, Watched>,
    found: HashMap<PathBuf, Identity>,
) {
    for (path, watched) in known.iter_mut() {
        if watched.identity.is_some() && watched.identity.as_ref() != found.get(path) {
            watched.identity = None;
            watched.gone.cancel();
        }
    }
    known.retain(|_, watched| watched.identity.is_some() || !watched.task.is_finished());
    for (path, identity) in found {
        if known.get(&path).is_some_and(|watched| watched.identity == Some(identity)) {
            continue;
        }
        let before = known.remove(&path).map(|watched| watched.task);
        let gone = CancellationToken::new();
        let task = tokio::spawn(keep(Arc::clone(kubelet), path.clone(), gone.clone(), before));
        known.insert(path, Watched { identity: Some(identity), gone, task });
    }
}

/// Takes a plugin on, and lets it go when its socket is gone.
async fn keep(
    kubelet: Arc<Kubelet>,
    socket: PathBuf,
    gone: CancellationToken,
    before: Option<JoinHandle<()>>,
) {
    if let Some(before) = before {
        // The last one of this name may still be on its way out.
        let _ = before.await;
    }
    let mut delay = RETRY_MIN;
    let plugin = loop {
        let error = tokio::select! {
            taken = take_on(&kubelet, &socket) => match taken {
                Ok(plugin) => break plugin,
                Err(error) => error,
            },
            () = gone.cancelled() => return,
        };
        tracing::info!(socket = %socket.display(), error, "a plugin is not taken on yet");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = gone.cancelled() => return,
        }
        delay = (delay * 2).min(RETRY_MAX);
    };
    tracing::info!(kind = plugin.kind, name = plugin.name, "a plugin was taken on");
    // What waits for it may go on.
    kubelet.pods().iter().for_each(|entry| entry.input_changed());
    gone.cancelled().await;
    plugin.let_go(&kubelet, &socket).await;
}

/// What a plugin says it is.
struct Plugin {
    kind: String,
    name: String,
    endpoint: PathBuf,
    versions: Vec<String>,
}

async fn take_on(kubelet: &Arc<Kubelet>, socket: &Path) -> Result<Plugin, String> {
    let asked = Message::new();
    let told = call(socket, "/pluginregistration.Registration/GetInfo", &asked, INFO_MAX).await;
    let told = told.map_err(|status| format!("failed to get plugin info: {status}"))?;
    let endpoint = match told.text(3) {
        empty if empty.is_empty() => socket.to_owned(),
        endpoint => PathBuf::from(endpoint),
    };
    let (kind, name, versions) = (told.text(1), told.text(2), told.texts(4));
    let plugin = Plugin { kind, name, endpoint, versions };
    let taken = plugin.register(kubelet, socket).await;
    let answer = match &taken {
        Ok(()) => Message::new().flag(1, true),
        Err(error) => Message::new().text(2, error),
    };
    let method = "/pluginregistration.Registration/NotifyRegistrationStatus";
    let notified = call(socket, method, &answer, NOTIFY_MAX).await;
    taken?;
    match notified {
        Ok(_) => Ok(plugin),
        Err(status) => {
            plugin.let_go(kubelet, socket).await;
            Err(format!("failed to send registration status: {status}"))
        }
    }
}

impl Plugin {
    async fn register(&self, kubelet: &Arc<Kubelet>, socket: &Path) -> Result<(), String> {
        if self.name.is_empty() {
            return Err(format!("the plugin at socket {} has no name", socket.display()));
        }
        match self.kind.as_str() {
            "CSIPlugin" => {
                let csi = kubelet.csi();
                let endpoint = (self.endpoint.as_path(), socket);
                csi.register(kubelet.client(), &self.name, endpoint, &self.versions).await
            }
            "DRAPlugin" => {
                let claims = kubelet.resource_claims();
                claims.register(&self.name, &self.endpoint, socket, &self.versions)
            }
            "DevicePlugin" => {
                Devices::register(kubelet, &self.name, &self.endpoint, &self.versions).await
            }
            kind => Err(format!(
                "no handler registered for plugin type: {kind} at socket {}",
                socket.display()
            )),
        }
    }

    async fn let_go(&self, kubelet: &Kubelet, socket: &Path) {
        tracing::info!(kind = self.kind, name = self.name, "a plugin is gone");
        match self.kind.as_str() {
            "CSIPlugin" => {
                kubelet.csi().deregister(kubelet.client(), &self.name, socket).await;
            }
            "DRAPlugin" => {
                let claims = kubelet.resource_claims();
                claims.deregister(kubelet.client(), &self.name, socket).await;
            }
            _ => kubelet.devices().deregister(&self.name, &self.endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn which_files_are_plugins() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file.sock"), "").unwrap();
        let _hidden = UnixListener::bind(path(".a.sock")).unwrap();
        let first = UnixListener::bind(path("a.sock")).unwrap();
        let found = sockets(directory.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), [&path("a.sock")]);
        drop(first);
        std::fs::remove_file(path("a.sock")).unwrap();
        let _again = UnixListener::bind(path("a.sock")).unwrap();
        assert_ne!(sockets(directory.path()), found, "another socket of the same name");
    }
}
