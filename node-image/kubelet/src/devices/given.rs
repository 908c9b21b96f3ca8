//! What a container gets with its devices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kd_runtime::{Device, Mount};

use super::cdi::{self, Edits};
use super::{Devices, Endpoint};
use crate::grpc::{Fields, Message, Status, call};

/// How long a plugin may take to prepare devices (upstream's figure).
const PRE_START_MAX: Duration = Duration::from_secs(30);

/// Additions to a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Variables; the container's own win.
    pub env: Vec<(String, String)>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Names of CDI devices.
    pub cdi: Vec<String>,
}

impl Given {
    /// What a plugin answered to `Allocate`, encoded as `ContainerAllocateResponse`.
    fn take(&mut self, response: &Fields) -> Result<(), Status> {
        self.env.extend(response.map(1)?);
        for mount in response.messages(2)? {
            self.mounts.push(Mount {
                source: PathBuf::from(mount.text(2)),
                target: PathBuf::from(mount.text(1)),
                read_only: mount.flag(3),
                ..Mount::default()
            });
        }
        for device in response.messages(3)? {
            self.devices.push(Device {
                host_path: PathBuf::from(device.text(2)),
                container_path: PathBuf::from(device.text(1)),
                permissions: device.text(3),
            });
        }
        self.annotations.extend(response.map(4)?);
        self.cdi.extend(response.messages(5)?.iter().map(|device| device.text(1)));
        Ok(())
    }

    /// Replaces CDI names by what they stand for.
    pub fn resolve(&mut self) -> Result<(), String> {
        if !self.cdi.is_empty() {
            let names = std::mem::take(&mut self.cdi);
            let Edits { env, mounts, devices } = cdi::resolve(&cdi::DIRECTORIES, &names)?;
            self.env.extend(env);
            self.mounts.extend(mounts);
            self.devices.extend(devices);
        }
        Ok(())
    }
}

impl Devices {
    /// What a container gets with its devices, which their plugins prepare first if they want to.
    pub async fn given(&self, uid: &str, container: &str) -> Result<Given, String> {
        let mut given = Given::default();
        for (endpoint, devices, response) in self.allocated(uid, container) {
            if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.options.pre_start) {
                let request = Message::new().texts(1, &devices);
                let method = "/v1beta1.DevicePlugin/PreStartContainer";
                let ready = call(&endpoint.socket, method, &request, PRE_START_MAX).await;
                ready.map_err(|status| status.to_string())?;
            }
            let fields = Fields::read(response).map_err(|error| error.to_string())?;
            given.take(&fields).map_err(|status| status.to_string())?;
        }
        Ok(given)
    }

    fn allocated(
        &self,
        uid: &str,
        container: &str,
    ) -> Vec<(Option<Endpoint>, Vec<String>, bytes::Bytes)> {
        let state = self.state();
        let ours = state.allocations.iter().filter(|g| g.pod == uid && g.container == container);
        let with_endpoint = ours.map(|given| {
            let offer = state.offers.get(&given.resource);
            let endpoint = offer.and_then(|offer| offer.endpoint.clone());
            (endpoint, given.devices.iter().cloned().collect(), given.response.clone())
        });
        with_endpoint.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_a_response_gives() {
        let text = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let mount = Message::new().text(1, "/in").text(2, "/on").flag(3, true);
        let device = Message::new().text(1, "/dev/in").text(2, "/dev/on").text(3, "rw");
        let response = Message::new()
            .map(1, &text("A", "1"))
            .message(2, &mount)
            .message(3, &device)
            .map(4, &text("note", "x"))
            .message(5, &Message::new().text(1, "v/c=n"));
        let mut given = Given::default();
        given.take(&Fields::read(Bytes::copy_from_slice(response.encoded())).unwrap()).unwrap();
        assert_eq!(given.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(
            (given.mounts[0].source.as_path(), given.mounts[0].read_only),
            ("/on".as_ref(), true)
        );
        assert_eq!(given.devices[0].container_path, PathBuf::from("/dev/in"));
        assert_eq!((given.annotations["note"].as_str(), given.cdi.len()), ("x", 1));
    }
}
