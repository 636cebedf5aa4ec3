use std::sync::Arc;

use hearth_domain::{CacheReference, Repository};
use hearth_layers::{Registries, RegistryClient, RegistryLogin};

use super::rules::CacheRules;
use crate::credentials::{Ask, Credentials, Login, Rights};

/// What the control plane itself asks of the registry, with logins for it.
pub(crate) struct RegistryLogins {
    registries: Registries,
    credentials: Arc<Credentials>,
    rules: Arc<CacheRules>,
}

impl RegistryLogins {
    pub(crate) fn new(credentials: Arc<Credentials>, rules: Arc<CacheRules>) -> Self {
        Self {
            registries: Registries::default(),
            credentials,
            rules,
        }
    }

    /// A client for the cache at `<registry>/<path>`, for images of `platform`.
    pub(crate) async fn client(
        &self,
        cache: &str,
        rights: Rights,
        platform: &str,
    ) -> RegistryClient {
        let login = self.of(cache, rights).await;
        self.registries.client(login, platform)
    }

    /// A login for the cache at `<registry>/<path>`; `None` where there is none, as for registries that ask for none.
    /// Why one that should be there is missing was logged by its source.
    async fn of(&self, cache: &str, rights: Rights) -> Option<RegistryLogin> {
        let registry = registry_host(cache);
        let logins = match self.rules.repository_of(cache) {
            Some(repository) => {
                let ask = Ask {
                    repository: &repository,
                    registry: Some(registry),
                    rights,
                    refused_sha256: "",
                };
                self.credentials.logins(&ask).await
            }
            None => self.credentials.registry_login(registry, rights).await,
        };
        logins.registry.map(RegistryLogin::from)
    }
}

/// `host[:port]` of the registry that `repository` (`<registry>/<path>`) is in.
pub(super) fn registry_host(repository: &str) -> &str {
    repository
        .split_once('/')
        .map_or(repository, |(host, _)| host)
}

impl From<Login> for RegistryLogin {
    fn from(login: Login) -> Self {
        Self {
            registry: login.host,
            username: login.username,
            password: login.password,
        }
    }
}

impl CacheRules {
    /// The repository whose cache is at `<registry>/<path>`, as far as the path still tells: letter case is lost, and most
    /// characters that registries do not take.
    pub(crate) fn repository_of(&self, cache: &str) -> Option<Repository> {
        let path = cache.strip_prefix(&format!("{}/", self.registry))?;
        // A path that was changed to fit ends with a hash of the original.
        let unhashed = path.rsplit_once('-').map(|(path, _)| path);
        [Some(path), unhashed]
            .into_iter()
            .flatten()
            .filter_map(guess)
            .find(|repository| {
                CacheReference::new(&self.registry, repository, None)
                    .is_ok_and(|reference| reference.repository().as_str() == cache)
            })
    }
}

/// What a path below the registry may stand for.
fn guess(path: &str) -> Option<Repository> {
    let parts: Vec<&str> = path.split('/').collect();
    let url = match parts[..] {
        // No account at GitHub has a dot or an underscore in its name, and hosts elsewhere have one of them.
        [owner, _] if !owner.contains(['.', '_']) => format!("https://github.com/{path}"),
        // No host has an underscore: it stands for the colon before the port.
        [host, _, ..] if host.contains('_') => format!("https://{}", path.replacen('_', ":", 1)),
        [host, _, ..] if host.contains('.') => format!("https://{path}"),
        _ => return None,
    };
    url.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_of_a_cache_is_known_by_its_path_where_the_path_still_tells() {
        let rules = |registry: &str| CacheRules {
            registry: registry.parse().expect("a registry"),
            writers: "*".parse().expect("patterns"),
        };
        for (registry, cache, repository) in [
            ("ghcr.io", "ghcr.io/acme/shop", Some("github.com/acme/shop")),
            (
                "r.example/team",
                "r.example/team/acme/shop",
                Some("github.com/acme/shop"),
            ),
            (
                "r.example",
                "r.example/git.example/a/b/c",
                Some("git.example/a/b/c"),
            ),
            (
                "r.example",
                "r.example/git.example/a",
                Some("git.example/a"),
            ),
            (
                "r.example",
                "r.example/git.example/a/b_c",
                Some("git.example/a/b_c"),
            ),
            ("r.example", "other.example/acme/shop", None),
            ("r.example/team", "r.example/acme/shop", None),
            ("r.example", "r.example/shop", None),
            ("ghcr.io", "ghcr.io/git.example/a/b", None),
        ] {
            let found = rules(registry).repository_of(cache);
            let found = found.map(|repository| repository.to_string());
            assert_eq!(found.as_deref(), repository, "{cache}");
        }
        for (url, is_known) in [
            ("https://127.0.0.1:9418/a/b", true),
            ("https://git.example/a/b-0123abcd", true),
            ("https://github.com/Acme/Shop", true),
            ("https://github.com/acme/.github", false),
            ("https://git.example/Acme/Shop", false),
        ] {
            let rules = rules("r.example/team");
            let repository: Repository = url.parse().expect("a repository");
            let reference = CacheReference::new(&rules.registry, &repository, None);
            let found = rules.repository_of(reference.expect("a cache").repository().as_str());
            let found = found.map(|found| found.to_string().to_ascii_lowercase());
            let expected = repository.to_string().to_ascii_lowercase();
            assert_eq!(found, is_known.then_some(expected), "{url}");
        }
    }
}
