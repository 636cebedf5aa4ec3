use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hearth_runtime::{create_whole, write_atomically};
use hearth_signatures::{LocalKey, PrivateKeyError, PublicKeys, SignError, Signer as _};
use secrecy::{ExposeSecret as _, SecretString};

/// A key in PEM has some hundred bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a file is not used as the signing key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    #[error("{path}: {cause}")]
    NoKey {
        path: PathBuf,
        cause: PrivateKeyError,
    },
    #[error(transparent)]
    Make(#[from] SignError),
}

/// Reads the signing key. Makes it where the file does not exist, with the mode 0600; several control planes that do so at
/// once get the same key. The public key is written beside it, as `FILE.pub`.
pub(crate) fn signing_key(path: &Path) -> Result<LocalKey, KeyFileError> {
    let failed = |cause| KeyFileError::File {
        path: path.to_owned(),
        cause,
    };
    if !path.try_exists().map_err(failed)? {
        let made = LocalKey::generate()?;
        create_whole(path, made.expose_secret().as_bytes(), 0o600).map_err(failed)?;
    }
    let facts = std::fs::metadata(path).map_err(failed)?;
    if facts.len() > MAX_BYTES {
        return Err(failed(io::Error::other("is too large for a key")));
    }
    if facts.permissions().mode() & 0o007 != 0 {
        tracing::warn!(file = %path.display(), "every user of this machine can read the signing key; chmod 600");
    }
    let text: SecretString = std::fs::read_to_string(path).map_err(failed)?.into();
    let key = LocalKey::from_pem(&text).map_err(|cause| KeyFileError::NoKey {
        path: path.to_owned(),
        cause,
    })?;
    let public = key.public_key().to_string();
    let beside = beside(path);
    // A key that is mounted may have its folder read-only: `hearth cache public-key` prints it as well.
    if std::fs::read_to_string(&beside).ok().as_deref() != Some(&public)
        && let Err(error) = write_atomically(&beside, public.as_bytes(), 0o644)
    {
        tracing::warn!(file = %beside.display(), %error, "the public key is not written");
    }
    Ok(key)
}

/// Reads the public keys of earlier signing keys.
pub(crate) fn earlier_keys(path: &Path) -> anyhow::Result<PublicKeys> {
    let length = std::fs::metadata(path)?.len();
    anyhow::ensure!(length <= MAX_BYTES, "it is too large for keys");
    Ok(std::fs::read_to_string(path)?.parse()?)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_with_the_public_one_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.pem");
        let key = signing_key(&path).expect("a key");
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let beside = std::fs::read_to_string(beside(&path)).expect("a file");
        assert_eq!(beside, key.public_key().to_string());
        let again = signing_key(&path).expect("the same");
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            2
        );
    }

    #[test]
    fn many_that_make_it_at_once_get_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.pem");
        let keys = std::thread::scope(|scope| {
            let make = || signing_key(&path).expect("a key").public_key().clone();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            let keys = threads
                .into_iter()
                .map(|thread| thread.join().expect("a key"));
            keys.collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.pem");
        for text in [
            "",
            "no key",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        ] {
            std::fs::write(&path, text).expect("a write");
            let error = signing_key(&path).expect_err("no key").to_string();
            assert!(
                error.contains("signing.pem: must be a private key"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
        }
        let error = signing_key(&folder.path().join("no/such/folder")).expect_err("no folder");
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }
}
