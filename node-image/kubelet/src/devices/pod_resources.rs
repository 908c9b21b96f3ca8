//! The pod resources API (v1) at `pod-resources/kubelet.sock`: which container has which devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::net::UnixListener;

use super::{Device, Devices, Offer};
use crate::entry::PodEntry;
use crate::grpc::{Code, Fields, Message, Reply, Service, Status, serve};
use crate::kubelet::Kubelet;
use crate::pod::PodExt;
use crate::resource_claims::ResourceClaims;
use crate::volumes::make_directory;

/// Below the kubelet's root.
const SOCKET: &str = "pod-resources/kubelet.sock";

struct PodResources(Arc<Kubelet>);

/// Serves the socket.
pub(crate) async fn serve_pod_resources(kubelet: Arc<Kubelet>) {
    let socket = kubelet.config().root_directory.join(SOCKET);
    let bind = || {
        make_directory(socket.parent().unwrap_or(&socket), 0o750)?;
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(&socket)
    };
    match bind() {
        Ok(listener) => serve(listener, Arc::new(PodResources(kubelet))).await,
        Err(error) => {
            tracing::error!(socket = %socket.display(), %error, "pod resources are not told");
            std::future::pending().await
        }
    }
}

impl Service for PodResources {
    fn call<'a>(&'a self, method: &'a str, request: Fields) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let (devices, claims) = (self.0.devices(), self.0.resource_claims());
            match method {
                "/v1.PodResourcesLister/List" => {
                    let mut entries = self.0.pods();
                    entries.retain(|entry| !entry.has_ended());
                    let pods = entries.iter().map(|entry| devices.pod(entry, claims));
                    Ok(Message::new().messages(1, pods))
                }
                "/v1.PodResourcesLister/GetAllocatableResources" => {
                    Ok(Message::new().messages(1, devices.allocatable()))
                }
                "/v1.PodResourcesLister/Get" => {
                    let (name, namespace) = (request.text(1), request.text(2));
                    let entry = self.0.find_pod(&namespace, &name, None).map_err(|_| {
                        let text = format!("pod {name} in namespace {namespace} not found");
                        Status::new(Code::Unknown, text)
                    })?;
                    Ok(Message::new().message(1, &devices.pod(&entry, claims)))
                }
                _ => Err(Status::new(Code::Unimplemented, format!("unknown method {method}"))),
            }
        })
    }
}

impl Devices {
    /// `PodResources`
    fn pod(&self, entry: &PodEntry, claims: &ResourceClaims) -> Message {
        let pod = entry.pod();
        let containers = pod.spec().containers.iter().map(|container| {
            let devices = self.of_container(pod.uid(), &container.name);
            let made = Message::new().text(1, &container.name).messages(2, devices);
            made.messages(5, claims.told(&pod, container))
        });
        Message::new().text(1, pod.name()).text(2, pod.namespace()).messages(3, containers)
    }

    fn of_container(&self, uid: &str, container: &str) -> Vec<Message> {
        let state = self.state();
        let none = BTreeMap::new();
        let ours = state.allocations.iter().filter(|g| g.pod == uid && g.container == container);
        let told = ours.flat_map(|given| {
            let known = state.offers.get(&given.resource).map_or(&none, |offer| &offer.devices);
            let one = |id: &String| container_devices(&given.resource, id, known.get(id));
            given.devices.iter().map(one).collect::<Vec<_>>()
        });
        told.collect()
    }

    fn allocatable(&self) -> Vec<Message> {
        let state = self.state();
        let of = |(resource, offer): (&String, &Offer)| {
            let healthy = offer.devices.iter().filter(|(_, device)| device.healthy);
            let told = healthy.map(|(id, device)| container_devices(resource, id, Some(device)));
            told.collect::<Vec<_>>()
        };
        state.offers.iter().flat_map(of).collect()
    }
}

/// `ContainerDevices` of one device.
fn container_devices(resource: &str, id: &str, device: Option<&Device>) -> Message {
    let made = Message::new().text(1, resource).texts(2, [id]);
    let nodes = device.map(|device| device.numa_nodes.as_slice()).unwrap_or_default();
    if nodes.is_empty() {
        return made;
    }
    let nodes = nodes.iter().map(|node| Message::new().number(1, *node));
    made.message(3, &Message::new().messages(1, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn devices_with_and_without_a_place() {
        let read =
            |message: Message| Fields::read(Bytes::copy_from_slice(message.encoded())).unwrap();
        let near = Device { healthy: true, numa_nodes: vec![0] };
        let told = read(container_devices("r/x", "a", Some(&near)));
        assert_eq!((told.text(1).as_str(), told.texts(2)), ("r/x", vec!["a".to_owned()]));
        assert_eq!(told.message(3).unwrap().messages(1).unwrap().len(), 1);
        assert!(!read(container_devices("r/x", "a", None)).has(3));
    }
}
