use hearth_domain::{CacheReference, Repository};
use hearth_layers::RegistryLogin;

use crate::{
    cache_target::CacheRules,
    core::Core,
    credentials::{Ask, Credentials, Login, Rights},
};

/// Logins for what the control plane itself does at the registry.
pub(crate) struct RegistryLogins<'a> {
    credentials: &'a Credentials,
    rules: &'a CacheRules,
}

impl<'a> RegistryLogins<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Self {
            credentials: &core.credentials,
            rules: &core.cache_rules,
        }
    }

    /// A login for the cache at `<registry>/<path>`; `None` where there is none, as for registries that ask for none.
    /// Why one that should be there is missing was logged by its source.
    pub(crate) async fn of(&self, cache: &str, rights: Rights) -> Option<RegistryLogin> {
        let reference = CacheReference::from_parts(cache.to_owned(), String::new());
        let registry = reference.registry_host();
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
        logins.registry.map(registry_login)
    }
}

fn registry_login(login: Login) -> RegistryLogin {
    RegistryLogin {
        registry: login.host,
        username: login.username,
        password: login.password,
    }
}

impl CacheRules {
    /// The repository whose cache is at `<registry>/<path>`, as far as the path still tells: letter case and characters
    /// that registries do not take are lost.
    pub(crate) fn repository_of(&self, cache: &str) -> Option<Repository> {
        let path = cache.strip_prefix(&format!("{}/", self.registry))?;
        let parts: Vec<&str> = path.split('/').collect();
        // No account at GitHub has a dot or an underscore in its name, and every git host elsewhere has one.
        let url = match parts[..] {
            [owner, name] if !owner.contains(['.', '_']) => {
                format!("https://github.com/{owner}/{name}")
            }
            // No host has an underscore: it stands for the colon before a port.
            [host, _, ..] if host.contains(['.', '_']) => {
                format!(
                    "https://{}",
                    path.replacen('_', ":", usize::from(host.contains('_')))
                )
            }
            _ => return None,
        };
        let repository: Repository = url.parse().ok()?;
        let same = CacheReference::new(&self.registry, &repository, None).ok()?;
        (same.repository() == cache).then_some(repository)
    }
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
                "r.example/127.0.0.1_9418/a/b",
                Some("127.0.0.1:9418/a/b"),
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
    }
}
