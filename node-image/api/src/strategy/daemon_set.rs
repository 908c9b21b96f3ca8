//! DaemonSets count the changes of their template in an annotation, which takes the place of a field
//! of an older version.

use serde_json::Value;

use super::generation::same;
use crate::walk::{Shape, Walk};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn prepare_create(obj: &mut Value) {
    let asked = generation(obj);
    set(obj, asked.max(1));
}

/// The count follows the template, whatever the client says.
pub(super) fn prepare_update(new: &mut Value, old: &Value) {
    let changed = !same(&new["spec"]["template"], &old["spec"]["template"]);
    set(new, generation(old) + i64::from(changed));
}

fn generation(obj: &Value) -> i64 {
    obj["metadata"]["annotations"].text(TEMPLATE_GENERATION).parse().unwrap_or(0)
}

fn set(obj: &mut Value, generation: i64) {
    if let Some(metadata) = obj.object_mut("metadata")
        && let Some(annotations) = metadata.object_mut("annotations")
    {
        annotations.put(TEMPLATE_GENERATION, generation.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_template_is_counted() {
        let mut old = json!({"metadata": {"name": "a"}, "spec": {"template": {"a": 1}}});
        prepare_create(&mut old);
        assert_eq!(old["metadata"]["annotations"], json!({TEMPLATE_GENERATION: "1"}));
        let mut new = json!({"metadata": {}, "spec": {"template": {"a": 1}, "minReadySeconds": 5}});
        prepare_update(&mut new, &old);
        assert_eq!(generation(&new), 1);
        new["spec"]["template"]["a"] = json!(2);
        prepare_update(&mut new, &old);
        assert_eq!(generation(&new), 2);
    }
}
