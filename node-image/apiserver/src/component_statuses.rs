//! `componentstatuses`: whether the parts of a control plane run. Nothing of it is stored.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use kd_api::selector::{FieldSelector, Selector};
use kd_api::{Object, Status, table};
use serde_json::{Value, json};

use crate::answer;
use crate::negotiate::Form;
use crate::server::ApiServer;
use crate::verbs::{Reply, VerbRequest};

/// Whether a component runs.
pub(crate) type Health = Arc<dyn Fn() -> bool + Send + Sync>;

/// The components of this process, by upstream's names.
pub(crate) type Components = RwLock<BTreeMap<&'static str, Health>>;

/// The components that clients know.
const NAMES: [&str; 3] = ["controller-manager", "etcd-0", "scheduler"];
/// The one that is there in any case.
const STORE: &str = "etcd-0";

/// GET and LIST.
pub(crate) fn answer(request: &VerbRequest) -> Result<Reply, Status> {
    let wanted = request.wanted()?;
    let objects = match request.name() {
        _ if request.info().verb == "list" => selected(request)?,
        // Upstream has no code for it.
        name if !NAMES.contains(&name) => {
            return Err(Status::failure(500, "", format!("Component not found: {name}")));
        }
        name => vec![status(request.server(), name)],
    };
    let list = request.info().verb == "list";
    let value = match (wanted.form, list) {
        (Form::Object, false) => objects.into_iter().next().unwrap_or_default(),
        (Form::Object, true) => json!({
            "kind": request.kind.list_kind, "apiVersion": request.kind.api_version(),
            "metadata": {}, "items": objects,
        }),
        (Form::Metadata, false) => table::partial_object(&objects[0]),
        (Form::Metadata, true) => table::partial_object_list(&objects, &json!({})),
        (Form::Table(include), _) => {
            let now = (request.server().clock)();
            table::table(&request.kind, &objects, &json!({}), include, true, now)
        }
    };
    Ok(Reply::Answer(answer::value(200, &value, wanted)))
}

fn selected(request: &VerbRequest) -> Result<Vec<Value>, Status> {
    let info = request.info();
    let labels = Selector::parse(&info.label_selector)
        .map_err(|error| Status::bad_request(format!("unable to parse requirement: {error}")))?;
    let fields = FieldSelector::parse(&request.kind, &info.field_selector)?;
    let mut objects: Vec<Value> = NAMES.iter().map(|name| status(request.server(), name)).collect();
    objects.retain(|object| labels.matches_object(object) && fields.matches(object));
    Ok(objects)
}

/// One component, as it is now.
fn status(server: &ApiServer, name: &str) -> Value {
    let components = server.components.read().unwrap_or_else(PoisonError::into_inner);
    let runs = match components.get(name) {
        _ if name == STORE => server.objects.store.revision() > 0,
        Some(runs) => runs(),
        None => false,
    };
    let condition = match runs {
        true => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        false => json!({"type": "Healthy", "status": "False",
            "message": "the component does not run in the API server's process"}),
    };
    let mut object =
        json!({"kind": "ComponentStatus", "apiVersion": "v1", "conditions": [condition]});
    object.metadata_mut().insert("name".into(), name.into());
    object
}

#[cfg(test)]
mod tests {
    use crate::testing::server::TestServer;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn components() {
        let server = TestServer::start().await;
        server.0.add_component("scheduler", || true);
        let path = "/api/v1/componentstatuses";
        let list = server.ask(&format!("GET {path}"), Value::Null).await;
        assert_eq!(list.body["kind"], "ComponentStatusList");
        let shown: Vec<_> = list.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["metadata"]["name"].clone(), item["conditions"][0]["status"].clone()))
            .collect();
        let expect = [("controller-manager", "False"), ("etcd-0", "True"), ("scheduler", "True")];
        assert_eq!(shown, expect.map(|(name, status)| (json!(name), json!(status))));
        let one = server.ask(&format!("GET {path}/scheduler"), Value::Null).await;
        let healthy = json!([{"type": "Healthy", "status": "True", "message": "ok"}]);
        assert_eq!(one.body["conditions"], healthy);
        let named = format!("GET {path}?fieldSelector=metadata.name%3Detcd-0");
        let named = server.ask(&named, Value::Null).await;
        assert_eq!(named.body["items"].as_array().unwrap().len(), 1);
        let gone = server.ask(&format!("GET {path}/x"), Value::Null).await;
        assert_eq!((gone.code, &gone.body["message"]), (500, &json!("Component not found: x")));
    }
}
