//! Values of arguments, parsed once into the types that the commands work with.

use std::{ffi::OsStr, fmt::Display, marker::PhantomData, str::FromStr};

use clap::{Arg, Command, Error, builder::TypedValueParser, error::ErrorKind};
use hearth_domain::{Repository, RepositoryError, WorkspaceId, WorkspaceIdError};

use crate::faults::{name, read};

/// Parses a value with its type's `FromStr`, whose errors complete the sentence "ARGUMENT 'VALUE' …".
#[derive(Clone, Debug)]
pub struct Parsed<T>(PhantomData<fn() -> T>);

/// The parser for a `T`.
pub fn parsed<T>() -> Parsed<T> {
    Parsed(PhantomData)
}

impl<T> TypedValueParser for Parsed<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, Error> {
        let Some(text) = value.to_str() else {
            return Err(Error::new(ErrorKind::InvalidUtf8).with_cmd(command));
        };
        let name = argument.map(name).unwrap_or_default();
        read(&name, text)
            .map_err(|fault| Error::raw(ErrorKind::ValueValidation, fault + "\n").with_cmd(command))
    }
}

/// A value that may be left out. An empty one counts as left out, so that a script can always pass `--config "$CONFIG"`.
#[derive(Clone, Debug, Default)]
pub struct Optional<T>(pub Option<T>);

impl<T: FromStr> FromStr for Optional<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "" => Ok(Self(None)),
            text => text.parse().map(Some).map(Self),
        }
    }
}

impl<T: Display> Optional<T> {
    /// The value as the contract has it: empty when left out.
    pub fn to_field(&self) -> String {
        self.0.as_ref().map(T::to_string).unwrap_or_default()
    }
}

/// A whole number up to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Whole<const MAX: u64>(pub u64);

impl<const MAX: u64> FromStr for Whole<MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if number <= MAX => Ok(Self(number)),
            _ if MAX == u64::MAX => Err("must be a whole number".into()),
            _ => Err(format!("must be a whole number, at most {MAX}")),
        }
    }
}

impl<const MAX: u64> Display for Whole<MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A time limit in seconds, up to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Seconds<const MAX: u32>(pub u32);

impl<const MAX: u32> FromStr for Seconds<MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seconds) if (1..=MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(format!("must be a number of seconds from 1 to {MAX}")),
        }
    }
}

/// What `hearth cache explain` is asked about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A workspace.
    Workspace(WorkspaceId),
    /// A repository.
    Repository(Repository),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Every repository has one of these, and no id has.
        if text.contains([':', '/']) {
            let repository: Result<Repository, RepositoryError> = text.parse();
            repository
                .map(Self::Repository)
                .map_err(|error| error.to_string())
        } else {
            text.parse()
                .map(Self::Workspace)
                .map_err(|error: WorkspaceIdError| format!("{error}, or the URL of a repository"))
        }
    }
}
