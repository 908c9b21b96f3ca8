//! Jobs: the labels and the selector by which a Job finds its pods.

use serde_json::{Value, json};

use crate::walk::{Shape, Walk};

const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";

/// Unless the user selects by hand: labels the template with the Job's name and uid, under the old
/// and new keys, and selects by uid.
pub(super) fn generate_selector(obj: &mut Value) {
    let uid = obj["metadata"].text("uid").to_owned();
    let name = obj["metadata"].text("name").to_owned();
    let Some(spec) = obj.object_mut("spec") else { return };
    if spec.flag("manualSelector") {
        return;
    }
    let metadata = spec.object_mut("template").and_then(|template| template.object_mut("metadata"));
    if let Some(labels) = metadata.and_then(|metadata| metadata.object_mut("labels")) {
        labels.set_default("controller-uid", uid.clone());
        labels.set_default(UID_LABEL, uid.clone());
        labels.set_default("job-name", name.clone());
        labels.set_default(NAME_LABEL, name);
    }
    let selector = spec.object_mut("selector");
    if let Some(labels) = selector.and_then(|selector| selector.object_mut("matchLabels")) {
        labels.set_default(UID_LABEL, json!(uid));
    }
    take_labels_of_template(obj);
}

/// A Job without labels has those of its template, as defaulting would say the next time.
fn take_labels_of_template(obj: &mut Value) {
    let labels = obj["spec"]["template"]["metadata"]["labels"].clone();
    if obj["metadata"].entries("labels").next().is_none()
        && let Some(metadata) = obj.object_mut("metadata")
    {
        metadata.put("labels", labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_by_uid() {
        let mut obj = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}});
        generate_selector(&mut obj);
        assert_eq!(obj["spec"]["selector"], json!({"matchLabels": {UID_LABEL: "u"}}));
        let labels = &obj["spec"]["template"]["metadata"]["labels"];
        assert_eq!(obj["metadata"]["labels"], *labels);
        assert_eq!(
            *labels,
            json!({"controller-uid": "u", UID_LABEL: "u", "job-name": "j", NAME_LABEL: "j"})
        );
    }
}
