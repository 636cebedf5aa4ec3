//! The properties of a configuration that shape its image.

use std::{collections::BTreeMap, path::Path};

use hearth_domain::canonical_json;
use serde_json::{Map, Value};

use super::{error::KeyError, source::KeySource};

/// A configuration's `build`, in the new form or the old one.
#[derive(Clone)]
pub(super) struct Build {
    /// Relative to the configuration's folder.
    pub dockerfile: String,
    /// Relative to the configuration's folder.
    pub context: String,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Options of `docker build` that go into the key as they are.
    pub options: Vec<String>,
}

/// Folder of the configuration, relative to the clone.
pub(super) fn config_folder<'a>(source: &KeySource<'a>) -> &'a Path {
    source.config.path.parent().unwrap_or(Path::new(""))
}

/// The canonical text of a property, if there is one.
pub(super) fn property(properties: &Map<String, Value>, name: &str) -> Option<String> {
    properties.get(name).map(canonical_json)
}

/// Reads how the Dockerfile is built. `None` when the configuration names no Dockerfile.
pub(super) fn build(properties: &Map<String, Value>) -> Result<Option<Build>, KeyError> {
    let empty = Map::new();
    let build = properties
        .get("build")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let text = |map: &Map<String, Value>, name: &str| {
        map.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let (dockerfile, context) = match text(properties, "dockerFile") {
        Some(old) => (Some(old), text(properties, "context")),
        None => (text(build, "dockerfile"), text(build, "context")),
    };
    let Some(dockerfile) = dockerfile else {
        return Ok(None);
    };
    // Without a context, the CLI takes the Dockerfile's folder.
    let beside = || {
        let folder = Path::new(&dockerfile).parent().unwrap_or(Path::new(""));
        folder.to_string_lossy().into_owned()
    };
    let context = context
        .filter(|context| !context.is_empty())
        .unwrap_or_else(beside);
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
        dockerfile,
        context,
        target: text(build, "target"),
        args,
        options,
    }))
}

/// Sorts `build.options`: build arguments are added to `args`, options that do not change the image are dropped, and
/// options that bring in what a key cannot see are refused.
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
