use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::clone_path::{SeenFrom, in_clone, workspace_folder};

/// A value that stands for a text. Numbers become one, as in the CLI.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Properties that were not taken yet.
pub(super) struct Properties<'a> {
    values: Map<String, Value>,
    clone: &'a Path,
    folder: &'a Path,
}

impl<'a> Properties<'a> {
    /// Properties of a configuration in `folder` of a clone.
    pub fn new(values: Map<String, Value>, clone: &'a Path, folder: &'a Path) -> Self {
        Self {
            values,
            clone,
            folder,
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.values.shift_remove(name)
    }

    /// Takes an object; an empty one if there is none.
    pub fn take_object(&mut self, name: &str) -> Properties<'a> {
        let values = match self.take(name) {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        };
        Properties { values, ..*self }
    }

    /// Takes a text, if there is one that is not empty.
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, String> {
        self.unset_if_empty(name)?;
        Ok(self.take(name).as_ref().and_then(text_of))
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).and_then(text_of)
    }

    /// The texts in a list.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.values.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(text_of).collect()
    }

    /// What is left.
    pub fn rest(self) -> Map<String, Value> {
        self.values
    }

    /// What paths are seen from that are no part of the configuration's own files: the workspace's folder.
    pub fn seen_from_workspace(&self) -> SeenFrom<'a> {
        SeenFrom {
            root: self.clone,
            folder: workspace_folder(self.folder),
        }
    }

    /// A path that a property names, relative to the clone.
    pub fn path(&self, property: &str, path: &str) -> Result<PathBuf, String> {
        in_clone(self.clone, self.folder, path)
            .map_err(|error| format!("{property} {path:?} {error}"))
    }

    /// Removes a text that is empty, and makes a text of a number.
    pub fn unset_if_empty(&mut self, name: &str) -> Result<(), String> {
        match self.values.get(name) {
            Some(Value::Null) => drop(self.take(name)),
            Some(Value::String(text)) if text.is_empty() => drop(self.take(name)),
            Some(Value::Object(_)) => return Err(format!("{name} must be a text")),
            Some(Value::Array(_)) if name != "dockerComposeFile" => {
                return Err(format!("{name} must be a text"));
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                let text = json!(value.to_string());
                self.set(name, text);
            }
            _ => {}
        }
        Ok(())
    }

    /// The paths in a property, one or a list, relative to the clone. One that leads out of it is an error: who reads the
    /// property otherwise would follow it.
    pub fn paths(&self, name: &str) -> Result<Vec<PathBuf>, String> {
        let paths = match self.values.get(name) {
            Some(Value::Array(paths)) => paths.iter().filter_map(text_of).collect(),
            Some(path) => text_of(path).into_iter().collect(),
            None => Vec::new(),
        };
        let paths = paths.iter().map(|path| {
            let located = in_clone(self.clone, self.folder, path);
            located.map_err(|error| format!("{name} {path:?} {error}"))
        });
        paths.collect()
    }
}
