use std::{cell::Cell, path::Path};

use serde_json::Value;

/// Values of the variables in a configuration
/// (<https://containers.dev/implementors/json_reference/#variables-in-devcontainerjson>).
///
/// A node's environment is not that of a developer's machine, and all nodes must build the same: `${localEnv:…}` is its
/// default, or nothing. `${containerEnv:…}` and `${devcontainerId}` have values only when there is a container, and stay for
/// the CLI. It leaves them in an image that it builds by itself (`devcontainer build`).
#[derive(Debug)]
pub(super) struct Variables {
    local_folder: String,
    container_folder: String,
    /// What variables added so far, in bytes.
    added: Cell<usize>,
}

/// Most that the variables of a configuration may add, in bytes: each of thousands may stand for a long text.
const MAX_ADDED: usize = 1024 * 1024;

/// A text cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub(super) enum VariableError {
    /// A variable of the environment without a name, which the CLI refuses.
    #[error("{0} names no environment variable")]
    Nameless(String),
    #[error("is too large: its variables add more than {MAX_ADDED} bytes")]
    TooLarge,
}

impl Variables {
    /// Variables of a workspace whose clone is `local_folder`, and whose configuration calls the folder in the container
    /// `container_folder`, which may have variables itself.
    pub(super) fn new(local_folder: &Path, container_folder: &str) -> Result<Self, VariableError> {
        let mut variables = Self {
            local_folder: local_folder.to_string_lossy().into_owned(),
            container_folder: container_folder.to_owned(),
            added: Cell::new(0),
        };
        variables.container_folder = variables.in_text(container_folder)?;
        Ok(variables)
    }

    /// `${containerWorkspaceFolder}`.
    pub(super) fn container_folder(&self) -> &str {
        &self.container_folder
    }

    /// Replaces the variables in all strings of a value, but not in the names of properties.
    pub(super) fn resolve(&self, value: Value) -> Result<Value, VariableError> {
        Ok(match value {
            Value::String(text) => Value::String(self.in_text(&text)?),
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.resolve(item))
                .collect::<Result<_, _>>()?,
            Value::Object(properties) => properties
                .into_iter()
                .map(|(name, value)| Ok((name, self.resolve(value)?)))
                .collect::<Result<_, _>>()?,
            other => other,
        })
    }

    fn in_text(&self, text: &str) -> Result<String, VariableError> {
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            result.push_str(before);
            let end = from.find(['}', '\n', '\r', '\u{2028}', '\u{2029}']);
            let end = end.unwrap_or(from.len());
            if !from[end..].starts_with('}') {
                // No variable begins before that: it would be on one line.
                let (line, after) = from.split_at(end);
                result.push_str(line);
                rest = after;
                continue;
            }
            let (variable, after) = from.split_at(end + 1);
            match self.value(&variable[2..end]) {
                Some(Ok(value)) => {
                    self.added.set(self.added.get() + value.len());
                    if self.added.get() > MAX_ADDED {
                        return Err(VariableError::TooLarge);
                    }
                    result.push_str(value);
                }
                Some(Err(())) => return Err(VariableError::Nameless(variable.to_owned())),
                None => result.push_str(variable),
            }
            rest = after;
        }
        Ok(result + rest)
    }

    fn value<'a>(&'a self, variable: &'a str) -> Option<Result<&'a str, ()>> {
        let mut parts = variable.split(':');
        match parts.next()? {
            // The CLI takes the text up to the next colon for the default and drops what follows.
            "localEnv" | "env" => Some(
                parts
                    .next()
                    .map(|_name| parts.next().unwrap_or_default())
                    .ok_or(()),
            ),
            "localWorkspaceFolder" => Some(Ok(&self.local_folder)),
            "localWorkspaceFolderBasename" => Some(Ok(base_name(&self.local_folder))),
            "containerWorkspaceFolder" => Some(Ok(&self.container_folder)),
            "containerWorkspaceFolderBasename" => Some(Ok(base_name(&self.container_folder))),
            _ => None,
        }
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(container_folder: &str) -> Variables {
        Variables::new(Path::new("/node/volume/app"), container_folder).unwrap()
    }

    /// Each value is what the CLI's `substitute` returns in an empty environment.
    #[test]
    fn variables_become_what_the_cli_makes_of_them() {
        let variables = variables("/workspaces/${localWorkspaceFolderBasename}/sub/");
        for (text, expected) in [
            ("${localEnv:PATH}", ""),
            ("a-${env:USER:b}-c", "a-b-c"),
            ("${localEnv:NONE:http://x}", "http"),
            ("${localEnv:}", ""),
            ("${localEnv:A:${localEnv:B}}", "${localEnv}"),
            ("${localWorkspaceFolder}/x", "/node/volume/app/x"),
            ("${localWorkspaceFolderBasename}", "app"),
            ("${containerWorkspaceFolder}", "/workspaces/app/sub/"),
            ("${containerWorkspaceFolder:x}", "/workspaces/app/sub/"),
            ("${containerWorkspaceFolderBasename}", "sub"),
            ("${containerEnv:PATH}", "${containerEnv:PATH}"),
            ("${devcontainerId}", "${devcontainerId}"),
            ("$HOME ${ ${localEnv:A:1}", "$HOME ${ ${localEnv:A:1}"),
            ("${\n${localEnv:A:1}", "${\n1"),
            ("${", "${"),
        ] {
            let resolved = variables.resolve(json!({"${env:A}": [text, 1]})).unwrap();
            assert_eq!(resolved, json!({"${env:A}": [expected, 1]}), "{text:?}");
        }
    }

    #[test]
    fn variables_end_whatever_they_are_made_of() {
        let long = "x".repeat(10_000);
        let many = "${containerWorkspaceFolder}".repeat(10_000);
        let error = variables(&long).resolve(json!([many])).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        // What takes the square of its length takes minutes.
        for text in ["${", "${\n", "}", "${localEnv:A", "${localEnv:A:1}"] {
            let text = text.repeat((1 << 20) / text.len());
            variables("/").resolve(json!([text])).unwrap();
        }
    }

    #[test]
    fn a_variable_of_the_environment_needs_a_name() {
        for text in ["${localEnv}", "x ${env} y"] {
            let error = variables("/").resolve(json!([text])).unwrap_err();
            assert!(error.to_string().contains("names no environment variable"));
        }
    }
}
