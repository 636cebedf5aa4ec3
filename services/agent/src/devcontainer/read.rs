use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    build::{Build, BuildGrant},
    build_option::LeftOut,
    clone_path::workspace_folder,
    container::Container,
    error::ConfigError,
    features::Features,
    jsonc,
    properties::Properties,
    recipe::{Base, Recipe},
    variables::Variables,
};

/// Properties whose empty text stands for no value, as all variables of the local environment are empty on a node.
const EMPTY_IS_UNSET: [&str; 7] = [
    "image",
    "dockerFile",
    "dockerComposeFile",
    "workspaceFolder",
    "workspaceMount",
    "remoteUser",
    "containerUser",
];

/// Where a configuration is read.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The clone; its folder is named like the repository.
    pub clone: &'a Path,
    /// The image that the node uses where a configuration names none.
    pub default_image: &'a str,
}

/// A devcontainer configuration, with its variables resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct DevcontainerConfig {
    /// Where it is, relative to the clone, for example `.devcontainer/devcontainer.json`.
    pub path: PathBuf,
    /// How the image is made.
    pub source: Source,
    /// What makes the container.
    pub container: Container,
    /// What is wrong with its text. It was read all the same, as the CLI reads it.
    pub repaired: Option<String>,
    /// Sentences about files that it does without, since they are links that cannot be followed.
    pub unread: Vec<String>,
}

/// How the image is made.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// By a recipe.
    Recipe(Box<Recipe>),
    /// By Docker Compose. [`DevcontainerConfig::container`] has all other properties.
    Compose(Box<Compose>),
}

/// A Docker Compose project, as a configuration names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Compose {
    /// Its files, relative to the clone; without one, the usual ones.
    pub files: Vec<PathBuf>,
    /// The service that is the devcontainer.
    pub service: Option<String>,
    /// The services to run, beside those that they need. Empty: all that the project has without a profile.
    pub run: Vec<String>,
    /// What is installed on top of the devcontainer's image.
    pub features: Option<Features>,
}

impl DevcontainerConfig {
    /// Reads a text.
    pub fn parse(place: Place<'_>, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parsed = jsonc::parse(text);
        // What is wrong with the text may be why a value is.
        let fault = parsed.fault.as_ref().map(|fault| format!(" ({fault})"));
        let invalid = |why: String| ConfigError::Invalid {
            path: path.to_owned(),
            why: why + fault.as_deref().unwrap_or_default(),
        };
        let Some(Value::Object(written)) = parsed.value else {
            return Err(invalid("is not a JSON object".to_owned()));
        };
        let mut config = Self::new(place, path, written).map_err(invalid)?;
        config.repaired = parsed.fault;
        Ok(config)
    }

    /// Reads properties as they are written.
    pub fn new(place: Place<'_>, path: &Path, written: Map<String, Value>) -> Result<Self, String> {
        let config = Self::with_default(
            place,
            path,
            written.clone(),
            &default_folder(place.clone, path),
        )?;
        // Where Compose mounts the clone is not known, so a default is no place in particular.
        match config.source {
            Source::Compose(_) if config.container.text("workspaceFolder").is_none() => {
                Self::with_default(place, path, written, "/")
            }
            _ => Ok(config),
        }
    }

    /// Reads properties, with the workspace's folder in the container if they do not say.
    fn with_default(
        place: Place<'_>,
        path: &Path,
        written: Map<String, Value>,
        default_folder: &str,
    ) -> Result<Self, String> {
        let variables = variables(place, path, &written, default_folder)?;
        let Value::Object(values) = variables
            .resolve(Value::Object(written))
            .map_err(|error| error.to_string())?
        else {
            return Err("is not a JSON object".to_owned());
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut properties = Properties::new(values, place.clone, folder);
        for name in EMPTY_IS_UNSET {
            properties.unset_if_empty(name)?;
        }
        let build = Build::take(&mut properties)?;
        let is_compose = properties.has("dockerComposeFile");
        let base = match (build, properties.take_text("image")?) {
            (Some(build), _) => Some(Base::Dockerfile(build)),
            (None, Some(image)) if image.starts_with('-') => {
                return Err(format!("image {image:?} cannot be the name of an image"));
            }
            (None, Some(image)) => Some(Base::Image(image)),
            (None, None) if is_compose => None,
            (None, None) => Some(Base::Default(place.default_image.to_owned())),
        };
        let source = match base {
            Some(base) => {
                for name in ["dockerComposeFile", "service", "runServices"] {
                    properties.take(name);
                }
                let folder = json!(variables.container_folder());
                properties.set("workspaceFolder", folder);
                Source::Recipe(Box::new(Recipe {
                    base,
                    features: Features::take(&mut properties),
                    plain: false,
                }))
            }
            None => Source::Compose(Box::new(Compose {
                files: properties.paths("dockerComposeFile")?,
                service: properties.text("service"),
                run: properties.texts("runServices"),
                features: Features::take(&mut properties),
            })),
        };
        Ok(Self {
            path: path.to_owned(),
            source,
            container: Container::take(properties),
            repaired: None,
            unread: Vec::new(),
        })
    }

    /// Folder of the configuration, relative to the clone.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The folder that is worked in, relative to the clone: the one that the configuration is for.
    pub fn workspace(&self) -> &Path {
        workspace_of(&self.path)
    }

    /// Decides what depends on the attempt, and returns what its build does not get.
    pub fn grant(&mut self, grant: &BuildGrant<'_>) -> &[LeftOut] {
        match &mut self.source {
            Source::Recipe(recipe) => match &mut recipe.base {
                Base::Dockerfile(build) => {
                    build.grant(grant);
                    &build.left_out
                }
                Base::Image(_) | Base::Default(_) => &[],
            },
            Source::Compose(_) => &[],
        }
    }

    /// The configuration of nothing but an image, that of a service of this one's Docker Compose project.
    pub fn of_service(&self, recipe: Recipe) -> Self {
        Self {
            path: self.path.clone(),
            source: Source::Recipe(Box::new(recipe)),
            container: Container::default(),
            repaired: None,
            unread: Vec::new(),
        }
    }

    /// How the image is made, unless Docker Compose makes it.
    pub fn recipe(&self) -> Option<&Recipe> {
        match &self.source {
            Source::Recipe(recipe) => Some(recipe),
            Source::Compose(_) => None,
        }
    }
}

/// The variables of a configuration: they depend on its folder in the container, which may itself be written with some.
fn variables(
    place: Place<'_>,
    path: &Path,
    written: &Map<String, Value>,
    default_folder: &str,
) -> Result<Variables, String> {
    let local: PathBuf = place.clone.join(workspace_of(path)).components().collect();
    let new = |folder: &str| Variables::new(&local, folder).map_err(|error| error.to_string());
    let folder = written.get("workspaceFolder").and_then(Value::as_str);
    let variables = new(folder.unwrap_or_default())?;
    if variables.container_folder().is_empty() {
        return new(default_folder);
    }
    Ok(variables)
}

/// The workspace's folder in the container if the configuration does not say.
fn default_folder(clone: &Path, config: &Path) -> String {
    let name = clone.file_name().unwrap_or_default();
    let folder = Path::new("/workspaces")
        .join(name)
        .join(workspace_of(config));
    let folder: PathBuf = folder.components().collect();
    folder.to_string_lossy().into_owned()
}

/// The folder that is worked in with the configuration at `path`.
fn workspace_of(path: &Path) -> &Path {
    workspace_folder(path.parent().unwrap_or(Path::new("")))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
