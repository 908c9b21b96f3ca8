//! What a pod asks for: the sum of its containers, its init containers where they need more, and its
//! overhead.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::quantity::Quantity;

/// Quantities by resource name.
pub type Resources = BTreeMap<String, Quantity>;

/// Requests or limits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is set aside.
    Requests,
    /// What is not exceeded.
    Limits,
}

impl Side {
    /// The field's name.
    pub fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
    }
}

/// A ResourceList; what is no quantity counts as nothing (validation refuses it).
pub fn quantities(list: Option<&Value>) -> Resources {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), Quantity::from_json(value).ok()?)))
        .collect()
}

/// A container's requests or limits.
pub fn of_container(container: &Value, side: Side) -> Resources {
    quantities(container.at(&["resources", side.field()]))
}

/// A whole pod's requests or limits.
pub fn of_pod(pod: &Value, side: Side) -> Resources {
    let mut total = Resources::new();
    for container in pod.list_at(&["spec", "containers"]) {
        add(&mut total, &of_container(container, side));
    }
    // Sidecars run on; a plain init container runs beside those that were started before it.
    let mut sidecars = Resources::new();
    let mut initial = Resources::new();
    for container in pod.list_at(&["spec", "initContainers"]) {
        let own = of_container(container, side);
        if container.str_at(&["restartPolicy"]) == "Always" {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut initial, &sidecars);
        } else {
            let mut during = own;
            add(&mut during, &sidecars);
            raise(&mut initial, &during);
        }
    }
    raise(&mut total, &initial);
    total.extend(quantities(pod.at(&["spec", "resources", side.field()])));
    let overhead = quantities(pod.at(&["spec", "overhead"]));
    match side {
        Side::Requests => add(&mut total, &overhead),
        // Overhead raises a limit and makes none.
        Side::Limits => {
            for (name, quantity) in &overhead {
                if let Some(limit) = total.get_mut(name) {
                    limit.add(quantity);
                }
            }
        }
    }
    total
}

/// Adds each quantity of `more`.
pub fn add(total: &mut Resources, more: &Resources) {
    for (name, quantity) in more {
        total.entry(name.clone()).or_default().add(quantity);
    }
}

fn raise(total: &mut Resources, other: &Resources) {
    for (name, quantity) in other {
        match total.get_mut(name) {
            Some(least) if *least >= *quantity => {}
            Some(least) => *least = *quantity,
            None => {
                total.insert(name.clone(), *quantity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: Value, expect: &[(&str, &str)]) {
        let total = of_pod(&json!({"spec": spec}), Side::Requests);
        let got: Vec<(String, String)> =
            total.iter().map(|(name, quantity)| (name.clone(), quantity.to_string())).collect();
        let expect: Vec<_> =
            expect.iter().map(|(n, q)| ((*n).to_owned(), (*q).to_owned())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn totals() {
        let cpu = |amount: &str| json!({"resources": {"requests": {"cpu": amount}}});
        let mut sidecar = cpu("50m");
        sidecar["restartPolicy"] = "Always".into();
        check(json!({"containers": [cpu("100m"), cpu("200m")]}), &[("cpu", "300m")]);
        check(json!({"containers": [cpu("100m")], "initContainers": [cpu("1")]}), &[("cpu", "1")]);
        check(
            json!({"containers": [cpu("100m")], "initContainers": [sidecar, cpu("1")]}),
            &[("cpu", "1050m")],
        );
        check(json!({"containers": [cpu("100m")], "overhead": {"cpu": "10m"}}), &[("cpu", "110m")]);
        check(
            json!({"containers": [cpu("100m")], "resources": {"requests": {"cpu": "2"}}}),
            &[("cpu", "2")],
        );
    }
}
