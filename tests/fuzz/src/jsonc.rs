use hearth_agent::{
    devcontainer::{dependencies_of, jsonc},
    fuzzing,
};
use serde_json::Value;

/// Reads the input as JSON with comments, and as the metadata of a feature.
///
/// What is strict JSON has the value that it has there, and no fault.
pub fn jsonc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = jsonc::parse(&text);
    assert!(parsed.value.is_some() || parsed.fault.is_some());
    assert_eq!(
        dependencies_of(&text).is_some(),
        parsed.value.is_some_and(|value| value.is_object())
    );
}

/// Reads the input as a lockfile of features. A lockfile is a JSON object, or empty.
pub fn lockfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let strict = serde_json::from_str::<Value>(&text).is_ok();
    assert_eq!(
        fuzzing::is_lockfile(&text),
        strict || text.trim().is_empty()
    );
}
