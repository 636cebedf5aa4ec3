//! What an image says of the devcontainer that it is made for. Whoever built the image wrote it.

use serde_json::Value;

/// The label that has it.
pub const METADATA_LABEL: &str = "devcontainer.metadata";

/// The metadata of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageMetadata {
    /// Its entries, lowest first.
    pub entries: Vec<Value>,
    /// What is wrong with it; completes "the label …".
    fault: Option<String>,
}

/// What a property can be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Texts,
    /// Texts or objects.
    Mounts,
    Map,
    /// A text, a list of texts, or an object of both.
    Command,
}

/// Properties that the devcontainer CLI and hearth use without a look at their types.
const PROPERTIES: [(&str, Kind); 21] = [
    ("remoteUser", Kind::Text),
    ("containerUser", Kind::Text),
    ("entrypoint", Kind::Text),
    ("waitFor", Kind::Text),
    ("userEnvProbe", Kind::Text),
    ("shutdownAction", Kind::Text),
    ("init", Kind::Flag),
    ("privileged", Kind::Flag),
    ("overrideCommand", Kind::Flag),
    ("updateRemoteUserUID", Kind::Flag),
    ("capAdd", Kind::Texts),
    ("securityOpt", Kind::Texts),
    ("mounts", Kind::Mounts),
    ("containerEnv", Kind::Map),
    ("remoteEnv", Kind::Map),
    ("customizations", Kind::Map),
    ("onCreateCommand", Kind::Command),
    ("updateContentCommand", Kind::Command),
    ("postCreateCommand", Kind::Command),
    ("postStartCommand", Kind::Command),
    ("postAttachCommand", Kind::Command),
];

impl ImageMetadata {
    /// Reads the label. An image without one, or with an empty one, has no metadata.
    pub fn read(label: Option<&str>) -> Self {
        let Some(label) = label.filter(|label| !label.is_empty()) else {
            return Self::default();
        };
        let (entries, fault) = match serde_json::from_str(label) {
            Ok(Value::Array(entries)) => (entries, None),
            Ok(single @ Value::Object(_)) => (vec![single], None),
            Ok(_) => (Vec::new(), Some("is no list of objects".to_owned())),
            Err(error) => (Vec::new(), Some(format!("cannot be read ({error})"))),
        };
        let fault = fault.or_else(|| entries.iter().enumerate().find_map(fault_of));
        Self { entries, fault }
    }

    /// What is wrong with it, and what to do, in a sentence about the image of this name.
    pub fn fault(&self, image: &str) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(format!(
            "the label {METADATA_LABEL} of the image {image} {fault}: use another image, or have this one built again without it or with a \
             correct one"
        ))
    }
}

fn fault_of((number, entry): (usize, &Value)) -> Option<String> {
    let number = number + 1;
    let Value::Object(entry) = entry else {
        return Some(format!("has no object as its entry {number}"));
    };
    let fault = PROPERTIES.iter().find_map(|(property, kind)| {
        let value = entry.get(*property).filter(|value| !value.is_null())?;
        (!kind.has(value)).then_some((property, kind.name()))
    });
    let (property, kind) = fault?;
    Some(format!(
        "has a {property} in its entry {number} that is not {kind}"
    ))
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        let list = |is_member: fn(&Value) -> bool| {
            let members = value.as_array();
            members.is_some_and(|members| members.iter().all(is_member))
        };
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Texts => list(Value::is_string),
            Self::Mounts => list(|member| member.is_string() || member.is_object()),
            Self::Map => value.is_object(),
            Self::Command => {
                let is_one = |value: &Value| value.is_string() || Self::Texts.has(value);
                let named = value.as_object();
                is_one(value) || named.is_some_and(|named| named.values().all(is_one))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::Mounts => "a list of mounts",
            Self::Map => "an object",
            Self::Command => "a command",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(label: &str) -> Option<String> {
        ImageMetadata::read(Some(label)).fault("r/base:1")
    }

    #[test]
    fn a_label_that_cannot_be_used_is_named_with_its_image_and_with_what_to_do() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let wrong = r#"[{"remoteUser":"dev"},{"remoteUser":[]}]"#;
        for (label, expected) in [
            (deep(10_000).as_str(), "cannot be read (recursion limit"),
            (
                &format!(r#"[{{"customizations":{}}}]"#, deep(10_000)),
                "cannot be read (recursion limit",
            ),
            ("{", "cannot be read (EOF"),
            ("null", "is no list of objects"),
            ("7", "is no list of objects"),
            ("[null]", "has no object as its entry 1"),
            (r#"[{}, "a"]"#, "has no object as its entry 2"),
            (wrong, "has a remoteUser in its entry 2 that is not a text"),
            (
                r#"{"mounts":{"a":1}}"#,
                "has a mounts in its entry 1 that is not a list of mounts",
            ),
            (
                r#"[{"capAdd":[7]}]"#,
                "has a capAdd in its entry 1 that is not a list of texts",
            ),
            (
                r#"[{"privileged":"yes"}]"#,
                "has a privileged in its entry 1 that is not true or false",
            ),
            (
                r#"[{"containerEnv":"A=1"}]"#,
                "has a containerEnv in its entry 1 that is not an object",
            ),
            (
                r#"[{"postCreateCommand":{"a":[1]}}]"#,
                "has a postCreateCommand in its entry 1 that is not a command",
            ),
        ] {
            let told = fault(label).unwrap_or_default();
            let begins =
                format!("the label devcontainer.metadata of the image r/base:1 {expected}");
            assert!(told.starts_with(&begins), "{told}");
            assert!(told.contains("use another image"), "{told}");
        }
    }

    #[test]
    fn a_label_as_the_cli_writes_it_has_no_fault() {
        let whole = r#"[
            {"id": "ghcr.io/devcontainers/features/go:1", "init": true, "capAdd": ["SYS_PTRACE"], "securityOpt": [],
             "mounts": ["a", {"source": "b", "target": "/b"}], "customizations": {"vscode": {}}, "entrypoint": "/start"},
            {"onCreateCommand": "a", "postCreateCommand": ["a", "b"], "postStartCommand": {"a": "b", "c": ["d"]},
             "remoteUser": "dev", "remoteEnv": {"A": null}, "forwardPorts": [80], "overrideCommand": null}
        ]"#;
        for label in [whole, "", "[]", "{}", "[{}]", r#"{"remoteUser":"dev"}"#] {
            assert_eq!(fault(label), None, "{label}");
        }
        assert_eq!(ImageMetadata::read(None), ImageMetadata::default());
        assert_eq!(ImageMetadata::read(Some(whole)).entries.len(), 2);
        // What can be read is used all the same.
        assert_eq!(ImageMetadata::read(Some("[null, {}]")).entries.len(), 2);
    }
}
