use std::{fmt::Display, path::PathBuf};

use hearth_domain::ConfigName;

use crate::clone_files::CloneFileError;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The repository has no configuration of that name.
    #[error("the repository has no {}{}", path.display(), others(named, *more))]
    NotFound {
        /// Where it would be, relative to the clone.
        path: PathBuf,
        /// Those that there are.
        named: Vec<ConfigName>,
        /// How many more there are.
        more: usize,
    },
    /// It cannot be read, or is not a configuration.
    #[error("{}: {why}", path.display())]
    Invalid {
        /// Where it is, relative to the clone.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn others(named: &[ConfigName], more: usize) -> String {
    let names: Vec<&str> = named.iter().map(ConfigName::as_str).collect();
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    match names.as_slice() {
        [] => String::new(),
        [name] => format!("; it has the configuration {name}{more}"),
        names => format!("; it has the configurations {}{more}", names.join(", ")),
    }
}

/// A file that a configuration names cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(crate) struct FileError {
    /// Where it should be, relative to the clone.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: FileFault,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] CloneFileError),
    /// It has no value that can be used.
    #[error("{0}")]
    Malformed(String),
}

impl FileError {
    pub(super) fn new(path: impl Into<PathBuf>, error: impl Into<FileFault>) -> Self {
        Self {
            path: path.into(),
            error: error.into(),
        }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, why: impl Display) -> Self {
        Self::new(path, FileFault::Malformed(why.to_string()))
    }
}
