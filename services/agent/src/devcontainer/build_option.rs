use std::{
    fmt,
    path::{Path, PathBuf},
};

use hearth_domain::CacheKey;

use crate::{
    clone_files::{CloneFileError, CloneFiles},
    policy::Door,
};

/// Largest secret or key, in bytes: BuildKit takes no larger one.
const MAX_SECRET_BYTES: u64 = 500 * 1024;

/// An option that a build gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOption {
    /// A word that docker gets as it is.
    Plain(String),
    /// A file of the clone that steps can read, and that no layer has.
    Secret {
        /// Its name in the Dockerfile.
        id: String,
        /// Relative to the clone.
        file: PathBuf,
    },
    /// Keys in the clone that steps can log in with.
    Ssh {
        /// The name in the Dockerfile.
        id: String,
        /// Relative to the clone.
        keys: Vec<PathBuf>,
    },
    /// A folder of the clone that the Dockerfile has a name for.
    Folder {
        /// The name.
        name: String,
        /// Relative to the clone.
        folder: PathBuf,
    },
    /// The same with an image, or something that is downloaded.
    Remote {
        /// The name.
        name: String,
        /// `docker-image://…` or a URL.
        from: String,
    },
    /// The same with the image of another service of the Docker Compose project.
    Service {
        /// The name.
        name: String,
        /// The service.
        service: String,
        /// What its image is made from, if there is a key.
        key: Option<CacheKey>,
        /// Its image in the engine, once it is there.
        image: Option<String>,
    },
    /// A word for docker, if the attempt may ask for that of the node. Nothing before that is decided.
    Asks(String, Door),
    /// The platform, if it is the node's. Nothing before that is decided.
    Platform(String),
}

/// An option that a build does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The property and the option.
    pub what: String,
    /// The reason.
    pub why: String,
    /// Whether the image can be another one without it. It has no key then.
    pub shapes: bool,
}

/// What of an option is in a key.
pub(crate) enum Keyed {
    /// Its text.
    Text(String),
    /// Nothing, since it changes no image.
    Nothing,
    /// Nothing, since it asks for a build whatever there is already.
    Always,
    /// The name of a context beside the build's own, and what it stands for.
    Context(String, NamedContext),
    /// There can be no key.
    Not,
}

/// What the name of a context stands for, where a key can have it.
#[derive(Clone, Debug)]
pub(crate) enum NamedContext {
    /// A folder of the clone.
    Folder(PathBuf),
    /// An image, by its reference.
    Image(String),
    /// The image of another service, by the key of it.
    Service(CacheKey),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is left out: {}", self.what, self.why)
    }
}

impl BuildOption {
    /// The image of another service, which is not there yet.
    pub fn service(name: String, service: &str) -> Self {
        Self::Service {
            name,
            service: service.to_owned(),
            key: None,
            image: None,
        }
    }

    /// The word that docker gets, for a build from the files in `clone`. `keep` gets the content of a file and says where it
    /// is then: docker opens paths itself, and would follow a link out of the clone. `None` if docker gets nothing.
    pub(crate) fn word(
        &self,
        files: &CloneFiles,
        clone: &Path,
        keep: &mut dyn FnMut(Vec<u8>) -> Result<PathBuf, String>,
    ) -> Result<Option<String>, LeftOut> {
        let mut kept = |path: &PathBuf| {
            let content = files.read(path, MAX_SECRET_BYTES);
            let content = content.map_err(|error| at(path, &error))?;
            keep(content).map(|path| path.to_string_lossy().into_owned())
        };
        let word = match self {
            Self::Plain(word) => Ok(word.clone()),
            Self::Secret { id, file } => kept(file).map(|path| {
                format!(
                    "--secret={}",
                    csv(&[&format!("id={id}"), &format!("src={path}")])
                )
            }),
            Self::Ssh { id, keys } => {
                let paths: Result<Vec<String>, String> = keys.iter().map(kept).collect();
                paths.map(|paths| format!("--ssh={id}={}", paths.join(",")))
            }
            Self::Folder { name, folder } => files
                .resolve(folder)
                .and_then(|real| files.entries(&real).map(|_| real))
                .map(|real| format!("--build-context={name}={}", clone.join(real).display()))
                .map_err(|error| at(folder, &error)),
            Self::Remote { name, from } => Ok(format!("--build-context={name}={from}")),
            Self::Service { name, image, .. } => match image {
                Some(image) => Ok(format!("--build-context={name}=docker-image://{image}")),
                None => Err("the service has no image".to_owned()),
            },
            Self::Asks(..) | Self::Platform(_) => return Ok(None),
        };
        word.map(Some).map_err(|why| LeftOut {
            what: format!("the build option {}", self.name()),
            why,
            shapes: true,
        })
    }

    /// The option in a key: the same in every workspace.
    pub(crate) fn keyed(&self) -> Keyed {
        match self {
            Self::Plain(word) => match word.split('=').next() {
                Some("--no-cache" | "--no-cache-filter") => Keyed::Always,
                // Base images count by what they are, and permissions by what steps do with them.
                Some("--pull" | "--allow") => Keyed::Nothing,
                _ => Keyed::Text(word.clone()),
            },
            Self::Secret { id, file } => {
                Keyed::Text(format!("--secret=id={id},src={}", file.display()))
            }
            Self::Ssh { id, keys } => Keyed::Text(format!("--ssh={id}={keys:?}")),
            Self::Folder { name, folder } => {
                Keyed::Context(name.clone(), NamedContext::Folder(folder.clone()))
            }
            Self::Remote { name, from } => match from.strip_prefix("docker-image://") {
                Some(image) => Keyed::Context(name.clone(), NamedContext::Image(image.to_owned())),
                None => Keyed::Not,
            },
            Self::Service {
                name,
                key: Some(key),
                ..
            } => Keyed::Context(name.clone(), NamedContext::Service(key.clone())),
            Self::Service { key: None, .. } | Self::Asks(..) | Self::Platform(_) => Keyed::Not,
        }
    }

    /// The option's name, with what it gives a name to.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Plain(word) | Self::Asks(word, _) => word.clone(),
            Self::Secret { id, .. } => format!("--secret id={id}"),
            Self::Ssh { id, .. } => format!("--ssh {id}"),
            Self::Folder { name, .. } | Self::Remote { name, .. } | Self::Service { name, .. } => {
                format!("--build-context {name}")
            }
            Self::Platform(platform) => format!("--platform {platform}"),
        }
    }
}

fn at(path: &Path, error: &CloneFileError) -> String {
    format!("{}: {error}", path.display())
}

/// Fields as one line of CSV.
fn csv(fields: &[&str]) -> String {
    let quoted: Vec<String> = fields
        .iter()
        .map(|field| format!("\"{}\"", field.replace('"', "\"\"")))
        .collect();
    quoted.join(",")
}
