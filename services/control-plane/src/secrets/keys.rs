use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hearth_runtime::create_whole;
use secrecy::{ExposeSecret as _, SecretString};

use super::seal::{KEY_BYTES, SealingKey};

/// A key has 65 bytes with its newline.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a file is not used for the keys of secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error(
        "{} must have a key on each line, of 64 hex digits; the first one encrypts, the others are earlier ones",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error("the system's random number generator failed: {0}")]
    NoRandomness(getrandom::Error),
}

/// The keys of secrets: the first encrypts, and all decrypt.
pub(crate) struct SecretKeys(Vec<SealingKey>);

impl SecretKeys {
    /// Reads them. The file is made where it does not exist, with the mode 0600.
    pub(crate) fn load(path: &Path) -> Result<Self, KeysError> {
        let failed = |cause| KeysError::File {
            path: path.to_owned(),
            cause,
        };
        if !path.try_exists().map_err(failed)? {
            let mut key = [0; KEY_BYTES];
            getrandom::fill(&mut key).map_err(KeysError::NoRandomness)?;
            let line = SecretString::from(format!("{}\n", hex::encode(key)));
            create_whole(path, line.expose_secret().as_bytes(), 0o600).map_err(failed)?;
        }
        let facts = std::fs::metadata(path).map_err(failed)?;
        if facts.len() > MAX_BYTES {
            return Err(failed(io::Error::other("is too large for keys")));
        }
        if facts.permissions().mode() & 0o007 != 0 {
            tracing::warn!(file = %path.display(), "every user of this machine can read the keys of secrets; chmod 600");
        }
        let text: SecretString = std::fs::read_to_string(path).map_err(failed)?.into();
        Self::parse(text.expose_secret()).ok_or_else(|| KeysError::NoKey(path.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(|line| {
            let mut bytes = [0; KEY_BYTES];
            hex::decode_to_slice(line, &mut bytes).ok()?;
            SealingKey::new(&bytes)
        });
        let keys = keys.collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key that encrypts.
    pub(super) fn current(&self) -> Option<&SealingKey> {
        self.0.first()
    }

    /// The key of this id.
    pub(super) fn of(&self, id: &str) -> Option<&SealingKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &SecretKeys) -> Vec<String> {
        keys.0.iter().map(|key| key.id().to_owned()).collect()
    }

    #[test]
    fn keys_are_made_once_for_their_owner_alone_and_earlier_ones_are_listed_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.key");
        let first = SecretKeys::load(&path).expect("a key");
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = SecretKeys::load(&path).expect("the same");
        assert_eq!(ids(&again), ids(&first));
        let earlier = std::fs::read_to_string(&path).expect("a key");
        let both = format!("{}\n\n{earlier}", "ab".repeat(KEY_BYTES));
        std::fs::write(&path, both).expect("a write");
        let keys = SecretKeys::load(&path).expect("two keys");
        assert_eq!(ids(&keys)[1..], ids(&first));
        assert_ne!(ids(&keys)[0], ids(&first)[0]);
        assert_eq!(keys.current().expect("a key").id(), ids(&keys)[0]);
    }

    #[test]
    fn what_is_no_key_is_refused_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.key");
        let good = "ab".repeat(KEY_BYTES);
        for text in ["", "\n", "no key", &good[2..], &format!("{good}\n{good}00")] {
            std::fs::write(&path, text).expect("a write");
            let error = SecretKeys::load(&path).err().expect("no key").to_string();
            assert!(
                error.contains("secrets.key must have a key on each line"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
        }
    }
}
