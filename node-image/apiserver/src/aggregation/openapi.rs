//! OpenAPI documents of other servers: the third version by reference, the second one merged.

use kd_api::Object;
use kd_api::openapi::Foreign;
use serde_json::{Value, json};

use super::{Remote, Remotes};

/// `/openapi/v3` with the documents of the other servers.
pub(crate) fn openapi_index(mut index: Value, remotes: &Remotes) -> Value {
    for remote in remotes.values() {
        let path = remote.root();
        let path = path.trim_start_matches('/');
        match remote.documents().openapi_hash.as_str() {
            "" => {}
            hash => {
                let url = format!("/openapi/v3/{path}?hash={hash}");
                index["paths"][path] = json!({"serverRelativeURL": url});
            }
        }
    }
    index
}

/// What other servers add to `/openapi/v2`: their paths, and the definitions that come with them.
pub(crate) fn foreign_openapi(remotes: &Remotes) -> Foreign {
    let mut foreign = Foreign::default();
    for remote in remotes.values() {
        let document = remote.documents().openapi_v2;
        for (path, item) in document.map_at(&["paths"]).into_iter().flatten() {
            if is_below(path, remote) {
                foreign.paths.insert(path.clone(), item.clone());
            }
        }
        for (name, definition) in document.map_at(&["definitions"]).into_iter().flatten() {
            foreign.definitions.entry(name).or_insert_with(|| definition.clone());
        }
    }
    foreign
}

/// A server's document may tell of more than it answers for here.
fn is_below(path: &str, remote: &Remote) -> bool {
    let rest = path.strip_prefix(&remote.root());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aggregation::remote::Documents;
    use crate::request::Reader;
    use crate::testing::FakeReader;
    use kd_api::{Kinds, openapi};

    fn remotes() -> Remotes {
        let reader: Arc<dyn Reader> = FakeReader::with([]);
        let service = json!({"metadata": {"name": "v1.g.com"}, "spec": {"group": "g.com",
            "version": "v1", "service": {"namespace": "n", "name": "s"}}});
        let remote = Remote::new(&service, None, &reader);
        let item = json!({"get": {"responses": {"200": {"description": "OK"}}}});
        remote.set_documents(Documents {
            resources: Arc::default(),
            openapi_hash: "H".into(),
            openapi_v2: Arc::new(json!({
                "paths": {"/apis/g.com/v1/": item, "/apis/g.com/v10/": item, "/healthz": item},
                "definitions": {"com.g.Thing": {"type": "object"},
                    "io.k8s.api.core.v1.Pod": {"type": "string"}}})),
        });
        Remotes::from([(Remote::key_of(&service), Arc::new(remote))])
    }

    #[test]
    fn the_index_leads_to_other_servers() {
        let index = openapi_index(json!({"paths": {}}), &remotes());
        let url = "/openapi/v3/apis/g.com/v1?hash=H";
        assert_eq!(index["paths"]["apis/g.com/v1"]["serverRelativeURL"], url);
    }

    #[test]
    fn documents_are_merged() {
        let foreign = foreign_openapi(&remotes());
        assert_eq!(foreign.paths.keys().collect::<Vec<_>>(), ["/apis/g.com/v1/"]);
        let kinds = Kinds::built_in();
        let merged: Value = serde_json::from_slice(&openapi::v2_json(&kinds, &foreign)).unwrap();
        assert!(merged["paths"]["/apis/g.com/v1/"].is_object());
        assert_eq!(merged["definitions"]["com.g.Thing"]["type"], "object");
        // What is known here stays as it is.
        assert_eq!(merged["definitions"]["io.k8s.api.core.v1.Pod"]["type"], "object");
        let plain = openapi::v2_protobuf(&kinds, &Default::default()).len();
        assert!(openapi::v2_protobuf(&kinds, &foreign).len() > plain);
    }
}
