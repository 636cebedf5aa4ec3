use std::sync::Arc;

use hearth_domain::{CacheRepository, Repository};
use hearth_layers::RegistryLogin;

use crate::credentials::{Ask, Credentials, Login, Rights};

/// Logins for what the control plane itself does at the registry.
pub(crate) struct RegistryLogins(Arc<Credentials>);

impl RegistryLogins {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Self {
        Self(credentials)
    }

    /// A login for a cache. `source` is the git repository that it belongs to; `None` where that is not known: then only
    /// sources of logins that serve the whole registry have one. `None` where there is no login, as for registries that
    /// need none; why one is missing was logged by its source.
    pub(crate) async fn of(
        &self,
        source: Option<&Repository>,
        cache: &CacheRepository,
        rights: Rights,
    ) -> Option<RegistryLogin> {
        let registry = cache.registry_host();
        let logins = match source {
            Some(repository) => {
                let ask = Ask {
                    repository,
                    registry: Some(registry),
                    rights,
                    refused_sha256: "",
                };
                self.0.logins(&ask).await
            }
            None => self.0.registry_login(registry, rights).await,
        };
        logins.registry.map(RegistryLogin::from)
    }
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
