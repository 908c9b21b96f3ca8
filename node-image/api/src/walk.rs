//! Reading JSON objects the way typed code reads structs: what is absent reads as empty.

use serde_json::{Map, Value};

/// Reads that never fail.
pub(crate) trait Walk {
    /// The string under `key`, or "".
    fn text(&self, key: &str) -> &str;
    /// The integer under `key`.
    fn integer(&self, key: &str) -> Option<i64>;
    /// The boolean under `key`, or false.
    fn flag(&self, key: &str) -> bool;
    /// The list under `key`, or an empty one.
    fn list(&self, key: &str) -> &[Value];
    /// The entries of the map under `key`.
    fn entries<'a>(&'a self, key: &str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>;
    /// Whether `key` holds anything but null.
    fn has(&self, key: &str) -> bool;
}

impl Walk for Value {
    fn text(&self, key: &str) -> &str {
        self[key].as_str().unwrap_or("")
    }

    fn integer(&self, key: &str) -> Option<i64> {
        self[key].as_i64()
    }

    fn flag(&self, key: &str) -> bool {
        self[key].as_bool().unwrap_or(false)
    }

    fn list(&self, key: &str) -> &[Value] {
        self[key].as_array().map_or(&[], Vec::as_slice)
    }

    fn entries<'a>(&'a self, key: &str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a> {
        Box::new(self[key].as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v)))
    }

    fn has(&self, key: &str) -> bool {
        !self[key].is_null()
    }
}

/// Writes that make what they need.
pub(crate) trait Shape {
    /// Sets `key` unless it holds something other than null.
    fn set_default(&mut self, key: &str, value: impl Into<Value>);
    /// Sets `key`, or also replaces `""`: for strings whose empty form means unset.
    fn set_default_text(&mut self, key: &str, value: &str);
    /// Sets `key` on an object; nothing on anything else.
    fn put(&mut self, key: &str, value: impl Into<Value>);
    /// Removes `key`.
    fn take_key(&mut self, key: &str) -> Option<Value>;
    /// The object under `key`, made when absent; `None` when something else is there.
    fn object_mut(&mut self, key: &str) -> Option<&mut Value>;
    /// The object under `key`, if there is one.
    fn existing_mut(&mut self, key: &str) -> Option<&mut Value>;
    /// The elements of the list under `key`.
    fn each_mut(&mut self, key: &str) -> std::slice::IterMut<'_, Value>;
    /// What a chain of keys leads to.
    fn reach_mut(&mut self, path: &[&str]) -> Option<&mut Value>;
}

impl Shape for Value {
    fn set_default(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(map) = self.as_object_mut()
            && map.get(key).is_none_or(Value::is_null)
        {
            map.insert(key.to_owned(), value.into());
        }
    }

    fn set_default_text(&mut self, key: &str, value: &str) {
        if self.text(key).is_empty() {
            self.put(key, value);
        }
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(map) = self.as_object_mut() {
            map.insert(key.to_owned(), value.into());
        }
    }

    fn take_key(&mut self, key: &str) -> Option<Value> {
        self.as_object_mut()?.remove(key)
    }

    fn object_mut(&mut self, key: &str) -> Option<&mut Value> {
        let map = self.as_object_mut()?;
        let slot = map.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        slot.is_object().then_some(slot)
    }

    fn existing_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.get_mut(key).filter(|value| value.is_object())
    }

    fn each_mut(&mut self, key: &str) -> std::slice::IterMut<'_, Value> {
        match self.get_mut(key) {
            Some(Value::Array(list)) => list.iter_mut(),
            _ => [].iter_mut(),
        }
    }

    fn reach_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, key| value.get_mut(key))
    }
}
