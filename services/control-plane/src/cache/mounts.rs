use hearth_domain::{Repository, sha256_hex};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{error::CallError, node::new_token, store::Store};

/// Name of the secret in the store.
const NAME: &str = "cache-mounts";

/// Namespaces of the cache mounts (`RUN --mount=type=cache`) of builds. BuildKit gives a mount to everybody who names it, and
/// a frontend of a repository's own (`# syntax=`) names what it likes: so nobody else knows the names. They are the same
/// on all nodes: BuildKit counts the name of a mount as an input of its step, and finds no step of another name in its cache.
#[derive(Clone, Debug)]
pub(crate) struct CacheMounts(SecretString);

impl CacheMounts {
    /// The names that were given before, or new ones.
    pub(crate) async fn load(store: &dyn Store) -> Result<Self, CallError> {
        Ok(Self(store.secret(NAME, &new_token()?).await?))
    }

    /// The namespace of a repository's builds, those of refs that may write to its cache apart from all others. What steps
    /// find there shapes images, and no key sees it.
    pub(crate) fn of(&self, repository: &Repository, trusted: bool) -> String {
        let whose = if trusted { "trusted" } else { "others" };
        let secret = self.0.expose_secret();
        sha256_hex(format!("{secret} {repository} {whose}"))[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;

    #[tokio::test]
    async fn names_stay_over_a_restart_and_no_other_repository_ref_or_control_plane_has_them() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = async |dir: &tempfile::TempDir, url: &str, trusted| {
            let store = Sqlite::of_test(dir.path()).await;
            let mounts = CacheMounts::load(&store).await.unwrap();
            store.close().await;
            mounts.of(&url.parse().unwrap(), trusted)
        };
        let (a, b) = ("https://git.example/a/a", "https://git.example/a/b");
        let own = name(&dir, a, true).await;
        assert_eq!(name(&dir, a, true).await, own);
        for theirs in [
            name(&dir, a, false).await,
            name(&dir, b, true).await,
            name(&other, a, true).await,
        ] {
            assert_ne!(theirs, own);
        }
    }
}
