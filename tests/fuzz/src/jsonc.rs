use hearth_agent::devcontainer::{dependencies_of, jsonc};

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
