use std::collections::BTreeMap;

use serde_json::Value;

/// JSON without white space and with sorted keys: equal values have equal texts.
pub fn canonical_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(properties) => {
                let properties: BTreeMap<_, _> = properties
                    .iter()
                    .map(|(name, value)| (name, sorted(value)))
                    .collect();
                properties
                    .into_iter()
                    .map(|(name, value)| (name.clone(), value))
                    .collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_properties_does_not_matter() {
        assert_eq!(
            canonical_json(&json!({"b": {"d": 1, "c": [2, 1]}, "a": null})),
            r#"{"a":null,"b":{"c":[2,1],"d":1}}"#
        );
    }
}
