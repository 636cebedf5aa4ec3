use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use crate::{
    clone_files::CloneFileError,
    devcontainer::{FileError, FileFault, MAX_FEATURES},
};

/// Why a clone has no cache key. Its image is built, and the cache is not asked for an exact hit. Each message says what
/// would change that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The configuration says nothing about an image.
    #[error(
        "the configuration names no image, Dockerfile or Compose file, so the node's default image is used, and nothing is \
         cached; give it one"
    )]
    NoImage,
    /// A Docker Compose project has a key for each image that it builds.
    #[error(
        "a Docker Compose project has no key of its own: each image that it builds has one, which `hearth cache explain` \
         tells of a workspace"
    )]
    SeveralImages,
    /// A property or option whose effect a key cannot hold.
    #[error("{what} cannot be part of a cache key ({why}); without it, the image can be cached")]
    Unkeyable {
        /// The property or option.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The digest of an image or a feature is not known.
    #[error(
        "{reference} could not be resolved ({why}); check its name, the registry, and the login for it"
    )]
    Unresolved {
        /// The reference.
        reference: String,
        /// The registry's message.
        why: String,
    },
    /// A file that the configuration names does not exist, or cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// Where it should be, relative to the clone.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that the configuration names has a content that cannot be used.
    #[error("{}: {why}; correct the file", path.display())]
    Malformed {
        /// Where it is, relative to the clone.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A path leads out of the clone.
    #[error("{} leads out of the repository; only what is in the repository can be cached", .0.display())]
    LeadsOut(PathBuf),
    /// The features, with those that they depend on, are more than are followed.
    #[error(
        "there are more than {MAX_FEATURES} features, with those that they depend on; use fewer"
    )]
    TooManyFeatures,
    /// The build can see more than a key may be made of.
    #[error(
        "the build can see more than {limit}; leave files out by a .dockerignore, or copy less"
    )]
    TooMuch {
        /// The limit, with its unit.
        limit: String,
    },
}

impl KeyError {
    /// `path`, which is relative to the clone, is not what it should be.
    pub(super) fn file(path: &Path, why: impl Display) -> Self {
        Self::File {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }

    /// The text of an input names the clone's folder, which no other workspace has.
    pub(super) fn place(what: impl Into<String>) -> Self {
        Self::Unkeyable {
            what: what.into(),
            why:
                "it has the path of the clone on the node, which is another one in every workspace"
                    .to_owned(),
        }
    }

    /// `path`, which is relative to the clone, cannot be read.
    pub(super) fn reading(path: &Path, error: CloneFileError) -> Self {
        match error {
            CloneFileError::LeadsOut => Self::LeadsOut(path.to_owned()),
            // Only here the path itself is wrong.
            missing if missing.is_not_found() => Self::file(
                path,
                format!("{missing}; correct the path in the configuration, or add the file"),
            ),
            error => Self::file(path, error),
        }
    }
}

impl From<FileError> for KeyError {
    fn from(FileError { path, error }: FileError) -> Self {
        match error {
            FileFault::Unreadable(error) => Self::reading(&path, error),
            FileFault::Malformed(why) => Self::Malformed { path, why },
        }
    }
}
