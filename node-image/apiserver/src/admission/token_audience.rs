//! Which audiences a node may ask tokens for: those that a pod's volumes name.

use kd_api::Object;
use serde_json::Value;

use crate::request::Reader;

/// Why a node does not get a token.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// It asked for several audiences at once.
    TooMany,
    /// No volume of the pod has a token for this audience.
    NotInPod(String),
}

impl Refusal {
    pub(super) fn sentence(&self, user: &str) -> String {
        match self {
            Refusal::TooMany => "node may only request 0 or 1 audiences".into(),
            Refusal::NotInPod(audience) => format!(
                "audience {audience:?} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
            ),
        }
    }
}

/// Why the audiences of a TokenRequest are not the pod's.
pub(super) fn refused_audience(
    reader: &dyn Reader,
    request: &Value,
    pod: &Value,
) -> Option<Refusal> {
    let audience = match request.list_at(&["spec", "audiences"]) {
        [] => "",
        [one] => one.as_str().unwrap_or(""),
        _ => return Some(Refusal::TooMany),
    };
    let volumes = pod.list_at(&["spec", "volumes"]).iter();
    let named = volumes.clone().any(|volume| projects(volume, audience))
        || volumes
            .filter_map(|volume| driver(reader, pod, volume))
            .any(|driver| driver_asks(reader, &driver, audience));
    (!named).then(|| Refusal::NotInPod(audience.to_owned()))
}

/// Whether a projected volume has a token for the audience ("" is the API server).
fn projects(volume: &Value, audience: &str) -> bool {
    volume.list_at(&["projected", "sources"]).iter().any(|source| {
        let token = source.get("serviceAccountToken").filter(|token| token.is_object());
        token.is_some_and(|token| token.str_at(&["audience"]) == audience)
    })
}

/// The CSI driver behind a volume, directly or by a bound claim.
fn driver(reader: &dyn Reader, pod: &Value, volume: &Value) -> Option<String> {
    let inline = volume.str_at(&["csi", "driver"]);
    if !inline.is_empty() {
        return Some(inline.to_owned());
    }
    let claim = match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        "" => {
            volume.get("ephemeral").filter(|source| source.is_object())?;
            format!("{}-{}", pod.name(), volume.str_at(&["name"]))
        }
        name => name.to_owned(),
    };
    let claim = reader.get("", "persistentvolumeclaims", pod.namespace(), &claim)?;
    let bound = reader.get("", "persistentvolumes", "", claim.str_at(&["spec", "volumeName"]))?;
    let driver = bound.str_at(&["spec", "csi", "driver"]);
    (!driver.is_empty()).then(|| driver.to_owned())
}

fn driver_asks(reader: &dyn Reader, driver: &str, audience: &str) -> bool {
    let driver = reader.get("storage.k8s.io", "csidrivers", "", driver);
    driver.is_some_and(|driver| {
        let requests = driver.list_at(&["spec", "tokenRequests"]);
        requests.iter().any(|request| request.str_at(&["audience"]) == audience)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;
    use serde_json::json;

    fn check(audiences: Value, volumes: Value, expect: Option<Refusal>) {
        let reader = FakeReader::with([
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "d"},
                "spec": {"tokenRequests": [{"audience": "vault"}]}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "ns"},
                "spec": {"volumeName": "v"}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {"csi": {"driver": "d"}}}),
        ]);
        let pod =
            json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"volumes": volumes}});
        let request = json!({"spec": {"audiences": audiences}});
        assert_eq!(refused_audience(reader.as_ref(), &request, &pod), expect);
    }

    #[test]
    fn audiences() {
        let missing = |audience: &str| Some(Refusal::NotInPod(audience.to_owned()));
        let token = |audience: Value| json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": audience}]}}]);
        check(json!([]), token(json!({"path": "token"})), None);
        check(json!([]), json!([]), missing(""));
        check(json!(["x"]), token(json!({"audience": "x"})), None);
        check(json!(["x"]), token(json!({})), missing("x"));
        check(json!(["vault"]), json!([{"csi": {"driver": "d"}}]), None);
        check(json!(["vault"]), json!([{"persistentVolumeClaim": {"claimName": "c"}}]), None);
        check(json!(["a", "b"]), json!([]), Some(Refusal::TooMany));
    }
}
