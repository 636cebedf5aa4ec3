//! The properties of a configuration that shape its image.

use std::{collections::BTreeMap, path::Path};

use hearth_domain::canonical_json;
use serde_json::{Map, Value};

use super::{clone_path::ClonePath, error::KeyError, source::KeySource};

/// A configuration's `build`, in the new form or the old one.
pub(super) struct Build {
    pub dockerfile: ClonePath,
    pub context: ClonePath,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Options of `docker build` that go into the key as they are.
    pub options: Vec<String>,
}

/// Folder of the configuration, relative to the clone.
pub(super) fn config_folder<'a>(source: &KeySource<'a>) -> &'a Path {
    source.config.path.parent().unwrap_or(Path::new(""))
}

/// Canonical text of a property; `None` where it is not there.
pub(super) fn property(properties: &Map<String, Value>, name: &str) -> Option<String> {
    properties.get(name).map(canonical_json)
}

/// Reads how the Dockerfile is built. `None` when no Dockerfile is named.
pub(super) fn build(
    source: &KeySource<'_>,
    properties: &Map<String, Value>,
) -> Result<Option<Build>, KeyError> {
    let empty = Map::new();
    let build = properties
        .get("build")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let text = |map: &Map<String, Value>, name: &str| {
        map.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let old = text(properties, "dockerFile");
    let Some(dockerfile) = old.clone().or_else(|| text(build, "dockerfile")) else {
        return Ok(None);
    };
    let context = if old.is_some() {
        text(properties, "context")
    } else {
        text(build, "context")
    };
    let folder = config_folder(source);
    let dockerfile_path = ClonePath::new(source.clone, folder, &dockerfile)?;
    let context = match context.filter(|context| !context.is_empty()) {
        Some(context) => ClonePath::new(source.clone, folder, &context)?,
        // Without a context, the CLI takes the Dockerfile's folder.
        None => {
            let beside = Path::new(&dockerfile)
                .parent()
                .unwrap_or(Path::new(""))
                .to_string_lossy()
                .into_owned();
            ClonePath::new(source.clone, folder, &beside)?
        }
    };
    let mut args = BTreeMap::new();
    for (name, value) in build
        .get("args")
        .and_then(Value::as_object)
        .unwrap_or(&empty)
    {
        let value = value
            .as_str()
            .map_or_else(|| canonical_json(value), str::to_owned);
        args.insert(name.clone(), value);
    }
    let options = options(build, &mut args)?;
    Ok(Some(Build {
        dockerfile: dockerfile_path,
        context,
        target: text(build, "target"),
        args,
        options,
    }))
}

/// Sorts `build.options`: build arguments join the others, options that change nothing are dropped, options that bring
/// in what a key cannot see are refused.
fn options(
    build: &Map<String, Value>,
    args: &mut BTreeMap<String, String>,
) -> Result<Vec<String>, KeyError> {
    let given = build
        .get("options")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut words = given.iter().filter_map(Value::as_str);
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
            _ => (word, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| words.next().map(str::to_owned))
                .unwrap_or_default()
        };
        match name {
            "--build-arg" => {
                if let Some((name, value)) = value().split_once('=') {
                    args.insert(name.to_owned(), value.to_owned());
                }
            }
            "--cache-from" | "--cache-to" | "--progress" => drop(value()),
            "--build-context" | "--file" | "-f" | "--target" | "--platform" | "--output" | "-o" => {
                return Err(KeyError::Unkeyable {
                    what: format!("the build option {name}"),
                    why: "it replaces something that the key is made of".to_owned(),
                });
            }
            _ => kept.push(word.to_owned()),
        }
    }
    Ok(kept)
}
