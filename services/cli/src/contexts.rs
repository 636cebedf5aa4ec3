//! The control planes that a user has logged in to, in `$XDG_CONFIG_HOME/hearth/config.toml`: address, CA and token of each.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use hearth_domain::Name;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{address::Address, error::CliError};

/// More than any number of logins takes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The contexts.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// `None`: there is no place for the file.
    path: Option<PathBuf>,
    /// The one that is used where none is named.
    pub(crate) current: Option<Name>,
    pub(crate) all: BTreeMap<Name, SavedContext>,
}

/// A control plane, and what its user proves there.
#[derive(Clone, Debug)]
pub(crate) struct SavedContext {
    pub(crate) address: Address,
    pub(crate) token: Option<SecretString>,
    /// Certificate of its CA, as PEM.
    pub(crate) ca: Option<String>,
}

/// The file as it is written.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, WrittenContext>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenContext {
    control_plane: String,
    token: Option<String>,
    ca: Option<String>,
}

impl Contexts {
    /// Reads the file, if there is one. One that others can read is refused: it has tokens.
    pub(crate) fn read() -> Result<Self, CliError> {
        match place() {
            Some(path) => Self::of_file(path),
            None => Ok(Self::default()),
        }
    }

    fn of_file(path: PathBuf) -> Result<Self, CliError> {
        let shown = path.display();
        let facts = match fs::metadata(&path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    path: Some(path),
                    ..Self::default()
                });
            }
            Err(error) => return Err(CliError::Usage(format!("cannot read {shown}: {error}"))),
        };
        if facts.permissions().mode() & 0o077 != 0 {
            return Err(CliError::Usage(format!(
                "{shown} has tokens in it, and other users can read it\n  take their right away with: chmod 600 {shown}"
            )));
        }
        let malformed = || {
            CliError::Usage(format!(
                "{shown} is not a file of contexts\n  repair it, or remove it and log in again with: hearth login URL"
            ))
        };
        if !facts.is_file() || facts.len() > MAX_BYTES {
            return Err(malformed());
        }
        let text = fs::read_to_string(&path);
        let text =
            text.map_err(|error| CliError::Usage(format!("cannot read {shown}: {error}")))?;
        // What toml says of a fault has the text around it, which may be a token.
        let written: Written = toml::from_str(&text).map_err(|_| malformed())?;
        let all = written.contexts.into_iter().map(|(name, context)| {
            let context = SavedContext {
                address: context.control_plane.parse().ok()?,
                token: context.token.map(SecretString::from),
                ca: context.ca,
            };
            Some((name.parse().ok()?, context))
        });
        let all: Option<BTreeMap<_, _>> = all.collect();
        let current = written.current.map(|name| name.parse()).transpose();
        let (all, current) = all.zip(current.ok()).ok_or_else(malformed)?;
        drop(text);
        Ok(Self {
            path: Some(path),
            current,
            all,
        })
    }

    /// The context of this name; `by` is what named it.
    pub(crate) fn named(&self, name: &Name, by: &str) -> Result<&SavedContext, CliError> {
        self.all.get(name).ok_or_else(|| {
            CliError::Usage(format!(
                "{by}: there is no context {name}\n  `hearth context ls` lists them, and `hearth login URL --context {name}` makes it"
            ))
        })
    }

    /// A context of this address: the current one before others.
    pub(crate) fn of(&self, address: &Address) -> Option<&SavedContext> {
        let current = self.current.as_ref().and_then(|name| self.all.get(name));
        let mut all = current.into_iter().chain(self.all.values());
        all.find(|context| context.address.is(address))
    }

    /// Writes the file whole, for its owner alone.
    pub(crate) fn write(&self) -> Result<(), CliError> {
        let Some(path) = &self.path else {
            return Err(CliError::Usage(
                "there is no place for contexts: set XDG_CONFIG_HOME or HOME".into(),
            ));
        };
        self.try_write(path)
            .map_err(|error| CliError::Usage(format!("cannot write {}: {error:#}", path.display())))
    }

    fn try_write(&self, path: &Path) -> anyhow::Result<()> {
        let contexts = self.all.iter().map(|(name, context)| {
            let token = context.token.as_ref();
            let written = WrittenContext {
                control_plane: context.address.to_string(),
                token: token.map(|token| token.expose_secret().to_owned()),
                ca: context.ca.clone(),
            };
            (name.to_string(), written)
        });
        let written = Written {
            current: self.current.as_ref().map(ToString::to_string),
            contexts: contexts.collect(),
        };
        let text = toml::to_string(&written)?;
        // A link, as tools for such files make it, stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // It is made with the mode 0600.
        let mut draft = NamedTempFile::new_in(folder)?;
        draft.write_all(text.as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(&path)?;
        Ok(())
    }
}

/// Where the file is: <https://specifications.freedesktop.org/basedir-spec/latest/>.
fn place() -> Option<PathBuf> {
    let folder = |variable| env::var_os(variable).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let config = folder("XDG_CONFIG_HOME").filter(absolute);
    let home = || Some(folder("HOME").filter(absolute)?.join(".config"));
    Some(config.or_else(home)?.join("hearth/config.toml"))
}
