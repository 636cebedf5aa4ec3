use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

use serde_json::{Map, Value};

/// A command of the configuration that runs in the container. `postAttachCommand` is not one of them: it runs whenever
/// somebody attaches (`post_attach.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    OnCreate,
    UpdateContent,
    PostCreate,
    PostStart,
}

impl Hook {
    pub(super) const ALL: [Self; 4] = [
        Self::OnCreate,
        Self::UpdateContent,
        Self::PostCreate,
        Self::PostStart,
    ];

    pub(super) fn property(self) -> &'static str {
        match self {
            Self::OnCreate => "onCreateCommand",
            Self::UpdateContent => "updateContentCommand",
            Self::PostCreate => "postCreateCommand",
            Self::PostStart => "postStartCommand",
        }
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.property())
    }
}

/// The hooks of a devcontainer, and up to which one a workspace is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    present: BTreeSet<Hook>,
    /// `None`: for no hook.
    wait_for: Option<Hook>,
}

impl Hooks {
    /// Those of the configuration and of the image's metadata, which the CLI joins.
    pub fn of(config: Option<&Map<String, Value>>, metadata: &[Value]) -> Self {
        let mut present = BTreeSet::new();
        // The specification's default.
        let mut wait_for = Some(Hook::UpdateContent);
        let entries = metadata.iter().filter_map(Value::as_object);
        for entry in entries.chain(config) {
            let has = |hook: &Hook| entry.get(hook.property()).is_some_and(is_command);
            present.extend(Hook::ALL.into_iter().filter(has));
            if let Some(name) = entry.get("waitFor").filter(|value| is_set(value)) {
                wait_for = last_awaited(name);
            }
        }
        Self { present, wait_for }
    }

    /// Those that the workspace is not ready without.
    pub fn blocking(&self) -> BTreeSet<Hook> {
        let blocks = |hook: &&Hook| self.wait_for.is_some_and(|last| **hook <= last);
        self.present.iter().filter(blocks).copied().collect()
    }

    /// Those of them that follow every start of the container, also of one that was stopped.
    pub fn that_follow_a_start(mut self) -> Self {
        self.present.retain(|hook| *hook == Hook::PostStart);
        self
    }

    /// Those that run while the workspace is ready.
    pub fn later(&self) -> BTreeSet<Hook> {
        let blocking = self.blocking();
        self.present.difference(&blocking).copied().collect()
    }
}

/// The last hook that `waitFor` makes a workspace wait for. As with the CLI that is all of them where the value is not a hook
/// that runs before.
fn last_awaited(wait_for: &Value) -> Option<Hook> {
    match wait_for.as_str() {
        Some("initializeCommand") => None,
        name => {
            let named = Hook::ALL.into_iter();
            let named = named.into_iter().find(|hook| name == Some(hook.property()));
            named.or(Some(Hook::PostStart))
        }
    }
}

/// Whether the CLI takes a value for one: of several it uses the last that JavaScript takes for true.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Whether a hook's value is a command that the CLI runs.
fn is_command(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(words) => !words.is_empty(),
        Value::Object(commands) => !commands.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
