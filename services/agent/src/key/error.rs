use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use crate::clone_files::CloneFileError;

/// Why a clone has no cache key. Its image is built, and the cache is not asked for an exact hit. Each message says what
/// would change that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The configuration says nothing about an image.
    #[error("the configuration names no image and no Dockerfile; give it one")]
    NoImage,
    /// Docker Compose projects have no key.
    #[error(
        "configurations with dockerComposeFile have no cache key yet; an image or a Dockerfile has"
    )]
    UnsupportedCompose,
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
    /// A path leads out of the clone.
    #[error("{} leads out of the repository; only what is in the repository can be cached", .0.display())]
    LeadsOut(PathBuf),
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

    /// `path`, which is relative to the clone, cannot be read.
    pub(super) fn reading(path: &Path, error: CloneFileError) -> Self {
        match error {
            CloneFileError::LeadsOut => Self::LeadsOut(path.to_owned()),
            // Only here the path itself is wrong.
            missing if missing.is_not_found() => Self::file(
                path,
                format!("{missing}; correct the path in the configuration, or add the file"),
            ),
            CloneFileError::TooLarge { .. } | CloneFileError::Io(_) => Self::file(path, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_path_is_to_be_corrected_only_where_nothing_is_there() {
        let message = |kind: io::ErrorKind| {
            KeyError::reading(Path::new("a"), CloneFileError::Io(kind.into())).to_string()
        };
        assert!(
            message(io::ErrorKind::NotFound)
                .ends_with("; correct the path in the configuration, or add the file")
        );
        assert!(!message(io::ErrorKind::PermissionDenied).contains("correct"));
        let broken = KeyError::file(Path::new("a"), "is not a JSON object");
        assert_eq!(broken.to_string(), "a: is not a JSON object");
    }
}
