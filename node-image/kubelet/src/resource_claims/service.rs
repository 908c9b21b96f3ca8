//! `DRAPlugin` of a driver: its calls and their fields.

use std::path::PathBuf;
use std::time::Duration;

use super::record::{PreparedClaim, PreparedDevice};
use crate::grpc::{Fields, Message, Status, call};

/// Upstream's limit for one call.
const CALL_MAX: Duration = Duration::from_secs(45);
/// The versions spoken here, the better one first, with the packages of their services.
const VERSIONS: [(&str, &str); 2] = [
    ("v1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1"),
    ("v1beta1.DRAPlugin", "k8s.io.kubelet.pkg.apis.dra.v1beta1"),
];

/// A registered driver.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Where it listens.
    pub socket: PathBuf,
    /// The package of its service.
    pub service: &'static str,
    /// The socket that it was registered by.
    pub registrar: PathBuf,
}

/// The package of the best version that both sides speak.
pub fn checked_version(name: &str, versions: &[String]) -> Result<&'static str, String> {
    let spoken = VERSIONS.iter().find(|(version, _)| versions.iter().any(|known| known == version));
    spoken.map(|(_, package)| *package).ok_or_else(|| {
        format!("none of the DRA gRPC services of driver {name} is supported: {versions:?}")
    })
}

impl Driver {
    async fn call(&self, method: &str, claim: &PreparedClaim) -> Result<Fields, String> {
        let asked =
            Message::new().text(1, &claim.namespace).text(2, &claim.uid).text(3, &claim.name);
        let request = Message::new().message(1, &asked);
        let method = format!("/{}.DRAPlugin/{method}", self.service);
        let answer = call(&self.socket, &method, &request, CALL_MAX).await;
        let answer = answer.map_err(|status| status.to_string())?;
        about(&answer, &claim.uid)
            .map_err(|status| status.to_string())?
            .ok_or_else(|| format!("the driver's answer does not tell of claim {}", claim.uid))
    }

    /// `NodePrepareResources` of one claim.
    pub async fn prepare(&self, claim: &PreparedClaim) -> Result<Vec<PreparedDevice>, String> {
        let told = self.call("NodePrepareResources", claim).await?;
        match told.text(2) {
            error if error.is_empty() => devices(&told).map_err(|status| status.to_string()),
            error => Err(error),
        }
    }

    /// `NodeUnprepareResources` of one claim.
    pub async fn unprepare(&self, claim: &PreparedClaim) -> Result<(), String> {
        let told = self.call("NodeUnprepareResources", claim).await?;
        match told.text(1) {
            error if error.is_empty() => Ok(()),
            error => Err(error),
        }
    }
}

/// What an answer says of one claim.
fn about(answer: &Fields, uid: &str) -> Result<Option<Fields>, Status> {
    let entries = answer.messages(1)?;
    let ours = entries.iter().find(|entry| entry.text(1) == uid);
    Ok(ours.map(|entry| entry.message(2)).transpose()?)
}

fn devices(told: &Fields) -> Result<Vec<PreparedDevice>, Status> {
    let read = |device: &Fields| PreparedDevice {
        requests: device.texts(1),
        pool: device.text(2),
        device: device.text(3),
        cdi: device.texts(4),
    };
    Ok(told.messages(1)?.iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn versions() {
        let check = |versions: &[&str], expect: Option<&str>| {
            let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(checked_version("d", &versions).ok(), expect, "{versions:?}");
        };
        let newer = "k8s.io.kubelet.pkg.apis.dra.v1";
        check(&["v1beta1.DRAPlugin", "v1.DRAPlugin"], Some(newer));
        check(&["v1beta1.DRAPlugin"], Some("k8s.io.kubelet.pkg.apis.dra.v1beta1"));
        check(&["1.0.0"], None);
    }

    #[test]
    fn what_is_told_of_claims() {
        let device =
            Message::new().texts(1, ["r"]).text(2, "pool").text(3, "dev").texts(4, ["v/c=1"]);
        let entry = Message::new().text(1, "uid").message(2, &Message::new().message(1, &device));
        let answer = Message::new().message(1, &entry);
        let answer = Fields::read(Bytes::copy_from_slice(answer.encoded())).unwrap();
        assert_eq!(about(&answer, "other").unwrap(), None);
        let found = devices(&about(&answer, "uid").unwrap().unwrap()).unwrap();
        assert_eq!((found[0].device.as_str(), found[0].cdi.len()), ("dev", 1));
    }
}
