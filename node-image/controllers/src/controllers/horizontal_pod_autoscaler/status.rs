//! An autoscaler's status and its three conditions.

use jiff::Timestamp;
use kd_client::resources;
use serde_json::{Value, json};

use super::Sync;
use crate::{Plan, Step};

/// A time as the API writes it.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The conditions, newest facts included.
pub(super) struct Conditions {
    all: Vec<Value>,
    now: String,
}

impl Conditions {
    pub fn of(json: &Value, now: Timestamp) -> Conditions {
        let all = json["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Conditions { all, now: time(now) }
    }

    pub fn set(&mut self, name: &str, value: &str, reason: &str, message: &str) {
        let known = self.all.iter().position(|condition| condition["type"] == name);
        let since = known.map(|place| &self.all[place]).filter(|c| c["status"] == value);
        let since = since.map_or_else(|| json!(self.now), |c| c["lastTransitionTime"].clone());
        let condition = json!({"type": name, "status": value, "reason": reason,
            "message": message, "lastTransitionTime": since});
        match known {
            Some(place) => self.all[place] = condition,
            None => self.all.push(condition),
        }
    }
}

impl Sync<'_> {
    /// The status write, if one is due; what `news` does not say stays.
    pub(super) fn write(&self, conditions: &Conditions, news: &Value) -> Plan {
        let mut status = self.json["status"].clone();
        if status.is_null() {
            status = json!({"desiredReplicas": 0});
        }
        for (field, value) in news.as_object().into_iter().flatten() {
            status[field] = value.clone();
        }
        if status["desiredReplicas"].is_null() {
            status["desiredReplicas"] = json!(0);
        }
        status["conditions"] = json!(conditions.all);
        status["observedGeneration"] = json!(self.object.metadata.generation);
        if status == self.json["status"] {
            return Plan::nothing();
        }
        let mut updated = self.json.clone();
        updated["status"] = status;
        let resource = &resources::HORIZONTAL_POD_AUTOSCALERS;
        Plan::one(Step::update_status(resource, self.object.key(), &updated))
    }
}
