//! Secrets: `stringData` is write-only and ends up in `data`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::walk::Shape;

/// Moves `stringData` into `data`.
pub(super) fn merge_string_data(obj: &mut Value) {
    let Some(Value::Object(texts)) = obj.take_key("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    if let Some(data) = obj.object_mut("data") {
        for (key, text) in texts {
            data.put(&key, STANDARD.encode(text.as_str().unwrap_or("")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn string_data_wins() {
        let mut obj = json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}});
        merge_string_data(&mut obj);
        assert_eq!(obj, json!({"data": {"a": "bmV3", "b": "Yg=="}}));
    }
}
