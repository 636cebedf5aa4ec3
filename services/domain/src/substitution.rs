//! Variables in a devcontainer configuration, as they go into a cache key.
//!
//! (<https://containers.dev/implementors/json_reference/#variables-in-devcontainerjson>)

use std::collections::BTreeMap;

use serde_json::Value;

/// Substitutes `${localEnv:NAME}` and `${localEnv:NAME:default}` (and the older `${env:…}`) in every string of
/// `value`. Everything else stays as it is written: `${localWorkspaceFolder}` and the like name a place on a machine,
/// and `${containerEnv:…}` has a value only inside a container.
pub fn substitute_local_env(value: &Value, environment: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(in_text(text, environment)),
        Value::Array(items) => items
            .iter()
            .map(|item| substitute_local_env(item, environment))
            .collect(),
        Value::Object(properties) => properties
            .iter()
            .map(|(name, value)| (name.clone(), substitute_local_env(value, environment)))
            .collect(),
        other => other.clone(),
    }
}

fn in_text(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        let (before, from) = rest.split_at(start);
        let (variable, after) = from.split_at(length + 1);
        result.push_str(before);
        match local_env(&variable[2..length], environment) {
            Some(value) => result.push_str(&value),
            None => result.push_str(variable),
        }
        rest = after;
    }
    result + rest
}

fn local_env(variable: &str, environment: &BTreeMap<String, String>) -> Option<String> {
    let mut parts = variable.split(':');
    if !matches!(parts.next()?, "localEnv" | "env") {
        return None;
    }
    let name = parts.next()?;
    // The CLI takes the text up to the next colon for the default and drops what follows.
    let default = parts.next().unwrap_or_default();
    Some(
        environment
            .get(name)
            .map_or(default, String::as_str)
            .to_owned(),
    )
}

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
    fn local_variables_become_values_and_places_of_a_machine_stay_symbolic() {
        let environment = BTreeMap::from([("USER".to_owned(), "dev".to_owned())]);
        for (text, expected) in [
            ("${localEnv:USER}", "dev"),
            ("a-${env:USER}-b", "a-dev-b"),
            ("${localEnv:NONE}", ""),
            ("${localEnv:NONE:x}${localEnv:USER:y}", "xdev"),
            ("${localEnv:NONE:http://x}", "http"),
            ("${localWorkspaceFolder}/x", "${localWorkspaceFolder}/x"),
            ("${containerEnv:PATH}", "${containerEnv:PATH}"),
            ("$HOME ${", "$HOME ${"),
        ] {
            assert_eq!(
                substitute_local_env(&json!([text]), &environment),
                json!([expected])
            );
        }
    }

    #[test]
    fn the_order_of_properties_does_not_matter() {
        assert_eq!(
            canonical_json(&json!({"b": {"d": 1, "c": [2, 1]}, "a": null})),
            r#"{"a":null,"b":{"c":[2,1],"d":1}}"#
        );
    }
}
