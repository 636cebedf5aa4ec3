use std::sync::Arc;

use hearth_domain::{CacheRepository, Login, Platform, Repository};
use hearth_layers::{Registries, RegistryClient};

use crate::credentials::{Ask, Credentials, Rights};

/// What the control plane itself asks of the registry, with logins for it.
pub(crate) struct RegistryLogins {
    registries: Registries,
    credentials: Arc<Credentials>,
}

impl RegistryLogins {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Self {
        Self {
            registries: Registries::default(),
            credentials,
        }
    }

    /// A client for images of `platform` in a cache. `source` is the git repository that it belongs to; `None` where that
    /// is not known: then only sources of logins that serve the whole registry have one.
    pub(crate) async fn client(
        &self,
        source: Option<&Repository>,
        cache: &CacheRepository,
        rights: Rights,
        platform: &Platform,
    ) -> RegistryClient {
        let login = self.login(source, cache, rights).await;
        self.registries.client(login, platform.as_str())
    }

    /// `None` where there is no login, as for registries that need none; why one is missing was logged by its source.
    async fn login(
        &self,
        source: Option<&Repository>,
        cache: &CacheRepository,
        rights: Rights,
    ) -> Option<Login> {
        let registry = cache.registry_host();
        // Attempts that may only read have no login in this case. The control plane itself only reads with it.
        let rights = match self.credentials.lets_read(registry) {
            true => rights,
            false => Rights::Write,
        };
        let logins = match source {
            Some(repository) => {
                let ask = Ask {
                    repository,
                    registry: Some(registry),
                    rights,
                    refused_sha256: "",
                };
                self.credentials.logins(&ask).await
            }
            None => self.credentials.registry_login(registry, rights).await,
        };
        logins.registry
    }
}
