//! How a Dockerfile is built: both spellings of a configuration in one form.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hearth_domain::{Platform, text::shortened};
use serde_json::{Map, Value, json};

use super::{
    build_option::{BuildOption, LeftOut},
    build_options::{Options, decide},
    build_values::CACHE_SOURCE,
    properties::{Properties, text_of},
};
use crate::policy::Allowed;

/// A build from a Dockerfile.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The Dockerfile, relative to the clone.
    pub dockerfile: PathBuf,
    /// The text of the Dockerfile, if a Compose file has it; `dockerfile` is where it would be.
    pub inline: Option<String>,
    /// The context, relative to the clone.
    pub context: PathBuf,
    /// The stage to build; the last one if there is none.
    pub target: Option<String>,
    /// Build arguments, those among the options included.
    pub args: BTreeMap<String, String>,
    /// Options of `docker build` that are not one of the other fields.
    pub options: Vec<BuildOption>,
    /// Options that the build does not get.
    pub left_out: Vec<LeftOut>,
}

/// What an attempt decides about a build.
#[derive(Clone, Copy, Debug)]
pub struct BuildGrant<'a> {
    /// The node's platform.
    pub platform: &'a Platform,
    /// What the attempt may ask of the node.
    pub allowed: &'a Allowed,
}

/// A build with its files located on the node.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where the Dockerfile is.
    pub dockerfile: PathBuf,
    /// Where the context is.
    pub context: PathBuf,
    /// Words for docker.
    pub options: Vec<String>,
}

/// The build argument by which BuildKit keeps the cache mounts (`RUN --mount=type=cache`) of builds apart.
pub const CACHE_MOUNTS: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// Most that a single argument of a program may have, in bytes, with room for its name; Linux takes 128 KiB.
const MAX_WORD_BYTES: usize = 120 * 1024;
/// Most that all of them may have; Linux takes 2 MiB, with the environment.
const MAX_WORDS_BYTES: usize = 1024 * 1024;

impl Build {
    /// The ignore files that may apply: which of them does, depends on the devcontainer CLI's version.
    pub(crate) fn ignore_files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.context.join(".dockerignore")];
        if self.inline.is_none() {
            let mut special = self.dockerfile.as_os_str().to_owned();
            special.push(".dockerignore");
            files.push(special.into());
        }
        files
    }

    /// Takes the properties of a build out of a configuration. `None` if it names no Dockerfile.
    pub(super) fn take(properties: &mut Properties<'_>) -> Result<Option<Self>, String> {
        let old = properties.take_text("dockerFile")?;
        let old_context = properties.take_text("context")?;
        let mut build = properties.take_object("build");
        let new = build.take_text("dockerfile")?;
        let new_context = build.take_text("context")?;
        let cache_from = build.take("cacheFrom");
        // The CLI reads the context beside the Dockerfile only.
        let (property, dockerfile, context) = match (old, new) {
            (Some(old), _) => ("dockerFile", old, old_context),
            (None, Some(new)) => ("build.dockerfile", new, new_context),
            (None, None) => return Ok(None),
        };
        let dockerfile = properties.path(property, &dockerfile)?;
        let context = match context {
            Some(context) => properties.path("context", &context)?,
            None => dockerfile.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let mut args = BTreeMap::new();
        for (name, value) in build.take_object("args").rest() {
            // Docker takes what is before the first = for the name.
            let word = format!("{name}={}", js_text(&value));
            let (name, value) = word.split_once('=').unwrap_or_default();
            args.insert(name.to_owned(), value.to_owned());
        }
        let target = build.take_text("target")?;
        let options = words(build.take("options"), false);
        let options = Options::read(options, properties.seen_from_workspace(), &mut args);
        let mut build = Self {
            dockerfile: options.dockerfile.unwrap_or(dockerfile),
            inline: None,
            context,
            target: options.target.or(target),
            args,
            options: options.options,
            left_out: options.left_out,
        };
        if !words(cache_from, true).is_empty() {
            build.left_out.push(LeftOut {
                what: "build.cacheFrom".to_owned(),
                why: CACHE_SOURCE.to_owned(),
                shapes: false,
            });
        }
        build.check()?;
        Ok(Some(build))
    }

    /// Values that no build can have, and the one argument that is hearth's.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if self.args.remove(CACHE_MOUNTS).is_some() {
            self.left_out.push(LeftOut {
                what: format!("the build argument {CACHE_MOUNTS}"),
                why:
                    "hearth sets it, so that no other repository fills the cache mounts of this one"
                        .to_owned(),
                shapes: false,
            });
        }
        if let Some(target) = &self.target
            && !is_stage(target)
        {
            return Err(format!(
                "build.target {:?} cannot be the name of a stage: a name has letters, digits, - _ and .",
                shortened(target, 60)
            ));
        }
        let mut total = 0;
        for (name, value) in &self.args {
            if name.contains('\0') || value.contains('\0') {
                let name = name.replace('\0', "");
                return Err(format!(
                    "the build argument {name} has a character 0, which no build can have"
                ));
            }
            let bytes = name.len() + value.len();
            if bytes > MAX_WORD_BYTES {
                let name = shortened(name, 60);
                return Err(format!(
                    "the build argument {name} has {bytes} bytes, and may have {MAX_WORD_BYTES}"
                ));
            }
            total += bytes;
        }
        let texts = self.options.iter().filter_map(|option| match option {
            BuildOption::Plain(word) => Some(word),
            _ => None,
        });
        for text in texts {
            if text.len() > MAX_WORD_BYTES {
                let text = shortened(text, 60);
                return Err(format!(
                    "the build option {text} is longer than {MAX_WORD_BYTES} bytes"
                ));
            }
            total += text.len();
        }
        if total > MAX_WORDS_BYTES {
            return Err(format!(
                "build.args and build.options have {total} bytes, and may have {MAX_WORDS_BYTES}"
            ));
        }
        Ok(())
    }

    /// Decides what depends on the attempt.
    pub(super) fn grant(&mut self, grant: &BuildGrant<'_>) {
        let left_out = decide(&mut self.options, grant.platform, grant.allowed);
        self.left_out.extend(left_out);
    }

    /// The property `build` of a configuration that builds this.
    pub(super) fn to_property(&self, located: Located) -> Value {
        let Self {
            dockerfile: _,
            inline: _,
            context: _,
            target,
            args,
            options: _,
            left_out: _,
        } = self;
        let mut build = Map::new();
        build.insert("dockerfile".to_owned(), json!(located.dockerfile));
        build.insert("context".to_owned(), json!(located.context));
        if let Some(target) = target {
            build.insert("target".to_owned(), json!(target));
        }
        if !args.is_empty() {
            build.insert("args".to_owned(), json!(args));
        }
        if !located.options.is_empty() {
            build.insert("options".to_owned(), json!(located.options));
        }
        Value::Object(build)
    }
}

/// Whether it can be the name or the number of a stage.
fn is_stage(name: &str) -> bool {
    !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A value as the CLI puts it into a build argument.
fn js_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The words in a list; a single text is one where the CLI takes it.
fn words(value: Option<Value>, single: bool) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(text_of).collect(),
        Some(Value::String(word)) if single && !word.is_empty() => vec![word],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
