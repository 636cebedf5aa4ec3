use std::{fs, io, path::Path};

use hearth_domain::{Repository, sha256_hex};
use hearth_runtime::write_atomically;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

/// The file in the agent's state folder.
const FILE: &str = "cache-mounts.key";

/// Names of the cache mounts (`RUN --mount=type=cache`) of builds on a node. BuildKit gives a mount to everybody who names it,
/// and a frontend of a repository's own (`# syntax=`) names what it likes: so nobody else knows the names.
#[derive(Clone, Debug)]
pub struct CacheMounts(SecretString);

impl CacheMounts {
    /// The names that the node gave before, or new ones.
    pub fn load(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(FILE);
        let secret = match fs::read_to_string(&path) {
            Ok(secret) if !secret.is_empty() => secret,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {
                let secret = Uuid::new_v4().to_string();
                write_atomically(&path, secret.as_bytes(), 0o600)?;
                secret
            }
        };
        Ok(Self(secret.into()))
    }

    /// The namespace of a repository's builds, those of refs that may write to its cache apart from all others. What steps
    /// find there shapes images, and no key sees it.
    pub fn of(&self, repository: &Repository, trusted: bool) -> String {
        let whose = if trusted { "trusted" } else { "others" };
        let secret = self.0.expose_secret();
        sha256_hex(format!("{secret} {repository} {whose}"))[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_names_and_no_other_node_or_ref_has_them() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |dir: &Path, url: &str, trusted| {
            let repository = url.parse().unwrap();
            CacheMounts::load(dir).unwrap().of(&repository, trusted)
        };
        let (a, b) = ("https://git.example/a/a", "https://git.example/a/b");
        let own = name(dir.path(), a, true);
        assert_eq!(name(dir.path(), a, true), own);
        for theirs in [
            name(dir.path(), a, false),
            name(dir.path(), b, true),
            name(other.path(), a, true),
        ] {
            assert_ne!(theirs, own);
        }
    }
}
