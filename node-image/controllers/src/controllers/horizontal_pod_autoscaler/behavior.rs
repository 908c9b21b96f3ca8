//! How fast an autoscaler may go: stabilization windows, and policies of pods and percents per
//! period, over what is remembered of the last minutes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Sync;
use super::status::Conditions;

/// Without a behavior: how long the highest recommendation keeps the replicas.
const DOWN_WINDOW_SECONDS: i64 = 300;
/// What is remembered goes no further back than the longest window that may be asked for.
const MEMORY_SECONDS: i64 = 3600;
/// Entries remembered.
const ENTRIES_MAX: usize = 512;

/// Recommendations and changes of size, by time in seconds.
#[derive(Default)]
pub(super) struct Memory {
    recommended: Vec<(i64, i64)>,
    changes: Vec<(i64, i64)>,
}

impl Memory {
    pub fn of(memory: &Value) -> Memory {
        let pairs = |field: &str| {
            let list = memory[field].as_array().cloned().unwrap_or_default();
            let pairs = list.iter().filter_map(|p| Some((p[0].as_i64()?, p[1].as_i64()?)));
            pairs.collect()
        };
        Memory { recommended: pairs("recommended"), changes: pairs("changes") }
    }

    /// The size at the beginning counts as the first recommendation.
    pub fn begin(&mut self, current: i64, now: Timestamp) {
        if self.recommended.is_empty() {
            self.recommended.push((now.as_second(), current));
        }
    }

    pub fn scaled(&mut self, current: i64, desired: i64, now: Timestamp) {
        self.changes.push((now.as_second(), desired - current));
    }

    /// As it is kept until the next time.
    pub fn kept(mut self, next: Timestamp, spec: &Value, now: Timestamp) -> Value {
        let oldest = now.as_second() - MEMORY_SECONDS;
        for list in [&mut self.recommended, &mut self.changes] {
            list.retain(|(at, _)| *at >= oldest);
            let surplus = list.len().saturating_sub(ENTRIES_MAX);
            list.drain(..surplus);
        }
        json!({"recommended": self.recommended, "changes": self.changes,
            "next": next.to_string(), "spec": spec})
    }

    fn recommended_since(&self, seconds: i64, now: Timestamp) -> impl Iterator<Item = i64> {
        let oldest = now.as_second() - seconds;
        self.recommended.iter().filter(move |(at, _)| *at > oldest).map(|(_, size)| *size)
    }

    /// By how much the size went up (or down) in the last seconds.
    fn changed(&self, seconds: i64, now: Timestamp, up: bool) -> i64 {
        let oldest = now.as_second() - seconds;
        let recent = self.changes.iter().filter(|(at, _)| *at > oldest).map(|(_, change)| change);
        recent.filter(|change| (**change > 0) == up).map(|change| change.abs()).sum()
    }
}

impl Sync<'_> {
    /// The size that is allowed of the one that was recommended.
    pub(super) fn limited(
        &self,
        recommended: i64,
        current: i64,
        bounds: (i64, i64),
        memory: &mut Memory,
        conditions: &mut Conditions,
    ) -> i64 {
        memory.recommended.push((self.now.as_second(), recommended));
        let behavior = &self.json["spec"]["behavior"];
        let stable = match behavior.is_object() {
            true => self.stabilized(recommended, current, memory, conditions),
            false => {
                let recent = memory.recommended_since(DOWN_WINDOW_SECONDS, self.now);
                let stable = recent.max().unwrap_or(recommended).max(recommended);
                self.tell_stability(stable > recommended, "ScaleDownStabilized", conditions);
                stable
            }
        };
        let (most, least) = self.reach(current, memory, behavior);
        let (floor, ceiling) = (bounds.0.max(least), bounds.1.min(most));
        let (reason, message) = if stable > ceiling {
            match bounds.1 <= most {
                true => (
                    "TooManyReplicas",
                    "the desired replica count is more than the maximum replica count",
                ),
                false => (
                    "ScaleUpLimit",
                    "the desired replica count is increasing faster than the maximum scale rate",
                ),
            }
        } else if stable < floor {
            match bounds.0 >= least {
                true => (
                    "TooFewReplicas",
                    "the desired replica count is less than the minimum replica count",
                ),
                false => (
                    "ScaleDownLimit",
                    "the desired replica count is decreasing faster than the maximum scale rate",
                ),
            }
        } else {
            let message = "the desired count is within the acceptable range";
            conditions.set("ScalingLimited", "False", "DesiredWithinRange", message);
            return stable;
        };
        conditions.set("ScalingLimited", "True", reason, message);
        stable.min(ceiling).max(floor.min(bounds.1))
    }

    /// Within each direction's window: the least that was recommended on the way up, the most on the
    /// way down.
    fn stabilized(
        &self,
        recommended: i64,
        current: i64,
        memory: &Memory,
        conditions: &mut Conditions,
    ) -> i64 {
        let behavior = &self.json["spec"]["behavior"];
        let window = |side: &str, default: i64| {
            behavior[side]["stabilizationWindowSeconds"].as_i64().unwrap_or(default)
        };
        let up = memory.recommended_since(window("scaleUp", 0), self.now);
        let up = up.min().unwrap_or(recommended).min(recommended);
        let down = memory.recommended_since(window("scaleDown", DOWN_WINDOW_SECONDS), self.now);
        let down = down.max().unwrap_or(recommended).max(recommended);
        let stable = current.max(up).min(down);
        let reason = match recommended >= current {
            true => "ScaleUpStabilized",
            false => "ScaleDownStabilized",
        };
        self.tell_stability(stable != recommended, reason, conditions);
        stable
    }

    fn tell_stability(&self, held: bool, reason: &str, conditions: &mut Conditions) {
        let (reason, message) = match (held, reason) {
            (true, "ScaleUpStabilized") => (
                reason,
                "recent recommendations were lower than current one, applying the lowest recent \
                 recommendation",
            ),
            (true, _) => (
                reason,
                "recent recommendations were higher than current one, applying the highest recent \
                 recommendation",
            ),
            (false, _) => ("ReadyForNewScale", "recommended size matches current size"),
        };
        conditions.set("AbleToScale", "True", reason, message);
    }

    /// The highest and the lowest size that may be reached now.
    fn reach(&self, current: i64, memory: &Memory, behavior: &Value) -> (i64, i64) {
        if !behavior.is_object() {
            return ((2 * current).max(4), 0);
        }
        let up = self.by_policies(current, memory, &behavior["scaleUp"], true);
        let down = self.by_policies(current, memory, &behavior["scaleDown"], false);
        (up, down)
    }

    fn by_policies(&self, current: i64, memory: &Memory, rules: &Value, up: bool) -> i64 {
        let choice = rules["selectPolicy"].as_str().unwrap_or("Max");
        if choice == "Disabled" {
            return current;
        }
        let policies = rules["policies"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let limits = policies.iter().map(|policy| {
            let (value, period) = (
                policy["value"].as_i64().unwrap_or(0),
                policy["periodSeconds"].as_i64().unwrap_or(15),
            );
            let changed = memory.changed(period, self.now, up);
            let start = if up { current - changed } else { current + changed };
            match (policy["type"] == "Percent", up) {
                (false, true) => start + value,
                (false, false) => start - value,
                (true, true) => (start * (100 + value) + 99) / 100,
                (true, false) => start * (100 - value).max(0) / 100,
            }
        });
        let limits: Vec<i64> = limits.collect();
        let widest = (choice == "Max") == up;
        let chosen = if widest { limits.iter().max() } else { limits.iter().min() };
        match (chosen, up) {
            (Some(limit), true) => (*limit).max(current),
            (Some(limit), false) => (*limit).min(current),
            (None, true) => i64::MAX,
            (None, false) => 0,
        }
    }
}
