//! The socket where device plugins announce themselves (device plugin API v1beta1), and following
//! each of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{Device, Devices, Endpoint, Options};
use crate::grpc::{Channel, Code, Fields, Message, Reply, Service, Status, serve};
use crate::kubelet::Kubelet;
use crate::volumes::make_directory;

const SOCKET: &str = "kubelet.sock";
const VERSION: &str = "v1beta1";
/// How long a plugin may take to listen; it is tried again after this long, then twice as long.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(20);

struct Registration(Arc<Kubelet>);

/// Serves the socket. Sockets of an earlier time are removed first: plugins see that a kubelet
/// begins anew and announce themselves again.
pub(crate) async fn serve_registrations(kubelet: Arc<Kubelet>) {
    let directory = kubelet.devices().directory.clone();
    match listen(&directory) {
        Ok(listener) => serve(listener, Arc::new(Registration(kubelet))).await,
        Err(error) => {
            tracing::error!(directory = %directory.display(), %error, "no device plugins here");
            std::future::pending().await
        }
    }
}

fn listen(directory: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    make_directory(directory, 0o750)?;
    for entry in std::fs::read_dir(directory)?.flatten() {
        if entry.file_type()?.is_socket() {
            std::fs::remove_file(entry.path())?;
        }
    }
    UnixListener::bind(directory.join(SOCKET))
}

impl Service for Registration {
    fn call<'a>(&'a self, method: &'a str, request: Fields) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            if method != "/v1beta1.Registration/Register" {
                return Err(Status::new(Code::Unimplemented, format!("unknown method {method}")));
            }
            let (version, endpoint, resource) = (request.text(1), request.text(2), request.text(3));
            if version != VERSION {
                let text = format!(
                    "requested API version {version:?} is not supported by kubelet. Supported \
                     version is {VERSION:?}"
                );
                return Err(Status::new(Code::Unknown, text));
            }
            let options = options(&request.message(4)?);
            let devices = self.0.devices();
            let socket = devices.directory.join(endpoint);
            let started = take_on(&self.0, &resource, &socket, options);
            started.map(|()| Message::new()).map_err(|text| Status::new(Code::Unknown, text))
        })
    }
}

fn options(told: &Fields) -> Options {
    Options { pre_start: told.flag(1), preferred_allocation: told.flag(2) }
}

/// Only names of extended resources can be offered.
fn checked(resource: &str) -> Result<(), String> {
    let domain = resource.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let native =
        domain.is_empty() || domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    match native || resource.starts_with("requests.") {
        true => Err(format!("the ResourceName {resource:?} is invalid")),
        false => Ok(()),
    }
}

/// Takes a plugin on: it is followed from now on, in place of an earlier one of its resource.
pub(crate) fn take_on(
    kubelet: &Arc<Kubelet>,
    resource: &str,
    socket: &Path,
    options: Options,
) -> Result<(), String> {
    checked(resource)?;
    let over = CancellationToken::new();
    let number = {
        let mut state = kubelet.devices().state();
        state.endpoints += 1;
        state.endpoints
    };
    let endpoint = Endpoint { number, socket: socket.to_owned(), options, over: over.clone() };
    tracing::info!(resource, socket = %socket.display(), "a device plugin");
    let (kubelet, resource) = (Arc::clone(kubelet), resource.to_owned());
    tokio::spawn(async move {
        let devices = kubelet.devices();
        tokio::select! {
            ended = devices.follow(&resource, &endpoint) => {
                tracing::info!(resource, ?ended, "a device plugin is gone");
                devices.lost(&resource, &endpoint);
            }
            () = over.cancelled() => {}
        }
    });
    Ok(())
}

impl Devices {
    /// Takes on a plugin that was found in `plugins_registry`.
    pub(crate) async fn register(
        kubelet: &Arc<Kubelet>,
        resource: &str,
        socket: &Path,
        versions: &[String],
    ) -> Result<(), String> {
        if !versions.iter().any(|version| version == VERSION) {
            return Err(format!(
                "device plugin {resource} supports {versions:?}, the kubelet {VERSION}"
            ));
        }
        let method = "/v1beta1.DevicePlugin/GetDevicePluginOptions";
        let told = crate::grpc::call(socket, method, &Message::new(), CONNECT_MAX).await;
        let told = told.map_err(|status| status.to_string())?;
        take_on(kubelet, resource, socket, options(&told))
    }

    /// Lets go what was taken on from `plugins_registry`.
    pub(crate) fn deregister(&self, resource: &str, socket: &Path) {
        let known = {
            let state = self.state();
            state.offers.get(resource).and_then(|offer| offer.endpoint.clone())
        };
        if let Some(endpoint) = known.filter(|endpoint| endpoint.socket == socket) {
            endpoint.over.cancel();
            self.lost(resource, &endpoint);
        }
    }

    /// Keeps the devices of a resource as the plugin tells them, until it tells no more.
    async fn follow(&self, resource: &str, endpoint: &Endpoint) -> Result<(), Status> {
        let mut channel = connected(&endpoint.socket).await?;
        let method = "/v1beta1.DevicePlugin/ListAndWatch";
        let mut answers = channel.send(method, &Message::new()).await?;
        while let Some(answer) = answers.next().await? {
            let found = told(&answer)?;
            let mut state = self.state();
            let offer = state.offers.entry(resource.to_owned()).or_default();
            offer.devices = found.into_iter().collect();
            offer.gone_at = None;
            if let Some(before) = offer.endpoint.replace(endpoint.clone())
                && before.number != endpoint.number
            {
                before.over.cancel();
            }
            self.save(&state);
            drop(state);
            self.count();
            self.changes.send_replace(());
        }
        Ok(())
    }

    /// A plugin tells no more: its devices cannot be used.
    fn lost(&self, resource: &str, endpoint: &Endpoint) {
        {
            let mut state = self.state();
            let Some(offer) = state.offers.get_mut(resource) else { return };
            if offer.endpoint.as_ref().is_none_or(|known| known.number != endpoint.number) {
                return;
            }
            offer.endpoint = None;
            offer.devices.values_mut().for_each(|device| device.healthy = false);
            offer.gone_at = Some(Timestamp::now());
        }
        self.count();
        self.changes.send_replace(());
    }
}

/// A plugin may announce itself a moment before it listens.
async fn connected(socket: &Path) -> Result<Channel, Status> {
    let begun = Instant::now();
    let mut delay = RETRY_MIN;
    loop {
        match Channel::unix(socket).await {
            Err(status) if begun.elapsed() + delay < CONNECT_MAX => {
                tracing::debug!(%status, "a device plugin does not listen yet");
            }
            result => return result,
        }
        tokio::time::sleep(delay).await;
        delay *= 2;
    }
}

/// `ListAndWatchResponse`
fn told(answer: &Fields) -> Result<Vec<(String, Device)>, Status> {
    let mut found = Vec::new();
    for device in answer.messages(1)? {
        let nodes = device.message(3)?.messages(1)?;
        let numa_nodes = nodes.iter().map(|node| node.number(1)).collect();
        found.push((device.text(1), Device { healthy: device.text(2) == "Healthy", numa_nodes }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn names_of_resources() {
        let check = |name: &str, ok: bool| assert_eq!(checked(name).is_ok(), ok, "{name}");
        check("example.com/gpu", true);
        check("gpu", false);
        check("kubernetes.io/gpu", false);
        check("requests.example.com/gpu", false);
    }

    #[test]
    fn what_is_told_of_devices() {
        let near = Message::new().message(1, &Message::new().number(1, 1));
        let device = Message::new().text(1, "a").text(2, "Healthy").message(3, &near);
        let ill = Message::new().text(1, "b").text(2, "Unhealthy");
        let answer = Message::new().messages(1, [device, ill]);
        let found = told(&Fields::read(Bytes::copy_from_slice(answer.encoded())).unwrap()).unwrap();
        assert_eq!(found[0], ("a".into(), Device { healthy: true, numa_nodes: vec![1] }));
        assert_eq!(found[1], ("b".into(), Device::default()));
    }
}
