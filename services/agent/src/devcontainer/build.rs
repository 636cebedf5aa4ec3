//! How a Dockerfile is built: both spellings of a configuration in one form.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::properties::{Properties, text_of};

/// A build from a Dockerfile.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The Dockerfile, relative to the clone.
    pub dockerfile: PathBuf,
    /// The context, relative to the clone.
    pub context: PathBuf,
    /// The stage to build; the last one if there is none.
    pub target: Option<String>,
    /// Build arguments, those among the options included.
    pub args: BTreeMap<String, String>,
    /// Options of `docker build`, build arguments with a value left out.
    pub options: Vec<BuildOption>,
    /// Where BuildKit looks for steps that it need not run. That changes no image.
    pub cache_from: Vec<String>,
}

/// An option of `docker build`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOption {
    /// Its words, as docker gets them.
    pub words: Vec<String>,
    /// What it can do to the image.
    pub effect: Effect,
}

/// What an option of `docker build` can do to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Its text can reach layers or the image's configuration.
    Text,
    /// Steps can use what it names, and its text reaches nothing.
    Access,
    /// Nothing.
    None,
    /// It replaces something that a key is made of.
    Replacement,
}

impl Build {
    /// Takes the properties of a build out of a configuration. `None` if it names no Dockerfile.
    pub(super) fn take(properties: &mut Properties<'_>) -> Result<Option<Self>, String> {
        let old = properties.take_text("dockerFile")?;
        let old_context = properties.take_text("context")?;
        let mut build = properties.take_object("build");
        let new = build.take_text("dockerfile")?;
        let new_context = build.take_text("context")?;
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
            args.insert(name, js_text(&value));
        }
        let options = words(build.take("options"), false);
        let options = sorted_options(options, &mut args);
        Ok(Some(Self {
            dockerfile,
            context,
            target: build.take_text("target")?,
            args,
            options,
            cache_from: words(build.take("cacheFrom"), true),
        }))
    }

    /// The property `build` of a configuration that builds this.
    pub(super) fn to_property(&self, dockerfile: &Path, context: &Path) -> Value {
        let Self {
            dockerfile: _,
            context: _,
            target,
            args,
            options,
            cache_from,
        } = self;
        let mut build = Map::new();
        build.insert("dockerfile".to_owned(), json!(dockerfile));
        build.insert("context".to_owned(), json!(context));
        if let Some(target) = target {
            build.insert("target".to_owned(), json!(target));
        }
        if !args.is_empty() {
            build.insert("args".to_owned(), json!(args));
        }
        if !options.is_empty() {
            let words: Vec<&String> = options.iter().flat_map(|option| &option.words).collect();
            build.insert("options".to_owned(), json!(words));
        }
        if !cache_from.is_empty() {
            build.insert("cacheFrom".to_owned(), json!(cache_from));
        }
        Value::Object(build)
    }
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

/// Sorts the options by what they do, and moves build arguments to `args`: docker takes the last value of each, and options
/// come after the arguments.
fn sorted_options(words: Vec<String>, args: &mut BTreeMap<String, String>) -> Vec<BuildOption> {
    let mut words = words.into_iter();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let effect = match name {
            // Without a value, an argument has that of a variable of docker's environment: on a node, a proxy at most,
            // which BuildKit keeps out of images.
            "--build-arg" | "--cache-from" | "--cache-to" | "--progress" | "--iidfile"
            | "--metadata-file" => Effect::None,
            "--secret" | "--ssh" => Effect::Access,
            "--build-context" | "--file" | "-f" | "--target" | "--platform" | "--output" | "-o" => {
                Effect::Replacement
            }
            // Whether its value is the next word is not known.
            _ => {
                options.push(BuildOption {
                    words: vec![word],
                    effect: Effect::Text,
                });
                continue;
            }
        };
        let is_argument = name == "--build-arg";
        let next = if inline.is_none() { words.next() } else { None };
        if is_argument
            && let Some((name, value)) = inline
                .as_ref()
                .or(next.as_ref())
                .and_then(|v| v.split_once('='))
        {
            args.insert(name.to_owned(), value.to_owned());
            continue;
        }
        options.push(BuildOption {
            words: [Some(word), next].into_iter().flatten().collect(),
            effect,
        });
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_what_they_do_to_the_image() {
        let given = [
            "--build-arg",
            "A=2",
            "--build-arg=B=3=4",
            "--build-arg",
            "HTTP_PROXY",
            "--progress=plain",
            "--secret",
            "id=x,src=y",
            "--ssh=default",
            "--network",
            "host",
            "--build-context",
            "a=b",
            "--no-cache",
        ];
        let mut args = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let options = sorted_options(given.map(str::to_owned).to_vec(), &mut args);
        assert_eq!(json!(args), json!({"A": "2", "B": "3=4"}));
        let told: Vec<(String, Effect)> = options
            .iter()
            .map(|option| (option.words.join(" "), option.effect))
            .collect();
        let expected = [
            ("--build-arg HTTP_PROXY", Effect::None),
            ("--progress=plain", Effect::None),
            ("--secret id=x,src=y", Effect::Access),
            ("--ssh=default", Effect::Access),
            ("--network", Effect::Text),
            ("host", Effect::Text),
            ("--build-context a=b", Effect::Replacement),
            ("--no-cache", Effect::Text),
        ];
        assert_eq!(
            told,
            expected.map(|(words, effect)| (words.to_owned(), effect))
        );
    }

    #[test]
    fn an_option_at_the_end_may_lack_its_value() {
        let options = sorted_options(vec!["--build-context".to_owned()], &mut BTreeMap::new());
        assert_eq!(options[0].effect, Effect::Replacement);
    }
}
