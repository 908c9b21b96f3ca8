//! What the checks of both standards are made of.

use kd_api::Object;
use serde_json::Value;

use crate::admission::pod::CONTAINER_LISTS;

/// One rule of a standard.
pub(super) struct Check {
    /// Its identity.
    pub(super) name: &'static str,
    /// The rule of the weaker standard that it contains; "" for none.
    pub(super) replaces: &'static str,
    /// Looks at a pod or template.
    pub(super) run: fn(&Value) -> Option<Violation>,
}

/// What a pod does that it may not.
pub(super) struct Violation {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// A violation, if there is any detail.
pub(super) fn violation(reason: &'static str, details: Vec<String>) -> Option<Violation> {
    (!details.is_empty()).then(|| Violation { reason, detail: details.join("; ") })
}

/// All containers of a pod: main, init and ephemeral, in upstream's order of messages.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    CONTAINER_LISTS.iter().flat_map(|list| pod.list_at(&["spec", list]))
}

/// The names of the containers that meet a condition.
pub(super) fn names(pod: &Value, condition: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(pod).filter(|c| condition(c)).map(|c| c.str_at(&["name"])).collect()
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn named(names: &[&str]) -> String {
    let word = if names.len() == 1 { "container" } else { "containers" };
    format!("{word} {}", quoted(names))
}

/// `"a", "b"`.
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    words.join(", ")
}

/// A field of the pod's or a container's security context.
pub(super) fn context<'a>(of: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let mut value = of.get("securityContext")?;
    for field in path {
        value = value.get(field)?;
    }
    Some(value).filter(|value| !value.is_null())
}

/// Sentences about the pod itself and about its containers, for a rule that both can break.
pub(super) fn pod_and_containers(
    pod: &Value,
    breaks: impl Fn(&Value) -> bool,
    sentence: &str,
) -> Vec<String> {
    let mut details = Vec::new();
    if breaks(&pod["spec"]) {
        details.push(format!("pod {sentence}"));
    }
    let names = names(pod, breaks);
    if !names.is_empty() {
        details.push(format!("{} {sentence}", named(&names)));
    }
    details
}

/// Whether the pod says it is for Windows, where some rules mean nothing.
pub(super) fn is_windows(pod: &Value) -> bool {
    pod.str_at(&["spec", "os", "name"]) == "windows"
}
