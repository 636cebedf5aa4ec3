use hearth_api::v1::CacheSkipReason;
use hearth_domain::{CacheAccess, CacheReference, CacheRegistry, ConfigName, Repository, Spec};

use super::policy::CacheWriters;
use crate::credentials::Rights;

/// Where caches are and who may write to them.
#[derive(Debug)]
pub(crate) struct CacheRules {
    pub(crate) registry: CacheRegistry,
    pub(crate) writers: CacheWriters,
}

/// Where the cache of a workspace is and what its attempts may do with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheUse {
    pub(crate) reference: CacheReference,
    pub(crate) writable: bool,
}

impl CacheUse {
    /// What its login has to allow.
    pub(crate) fn rights(&self) -> Rights {
        match self.writable {
            true => Rights::Write,
            false => Rights::Read,
        }
    }

    /// `host[:port]` of its registry.
    pub(crate) fn registry_host(&self) -> &str {
        self.reference.repository().registry_host()
    }
}

impl CacheRules {
    /// How a workspace uses its cache, or why it does not.
    pub(crate) fn cache_use(&self, spec: &Spec) -> Result<CacheUse, CacheSkipReason> {
        if spec.lightweight {
            return Err(CacheSkipReason::Lightweight);
        }
        let writable = match spec.cache_access {
            CacheAccess::ReadWrite => self.writers.allow(&spec.git_ref),
            CacheAccess::ReadOnly => false,
            CacheAccess::Off => return Err(CacheSkipReason::Off),
        };
        let reference = self
            .reference(&spec.repository, spec.config.as_ref())
            .ok_or(CacheSkipReason::NotEligible)?;
        Ok(CacheUse {
            reference,
            writable,
        })
    }

    /// Where a repository's cache is; `None` where the registry does not cache for the repository's host.
    pub(crate) fn reference(
        &self,
        repository: &Repository,
        config: Option<&ConfigName>,
    ) -> Option<CacheReference> {
        CacheReference::new(&self.registry, repository, config).ok()
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::{Fallback, GitRef};

    use super::*;

    fn rules() -> CacheRules {
        CacheRules {
            registry: "ghcr.io".parse().expect("a registry"),
            writers: "*".parse().expect("patterns"),
        }
    }

    fn spec(repository: &str) -> Spec {
        Spec {
            repository: repository.parse().expect("a repository"),
            git_ref: GitRef::Default,
            config: None,
            lightweight: false,
            cache_access: CacheAccess::ReadWrite,
            time_limit: None,
            git: hearth_domain::GitOptions::default(),
            fallback: Fallback::default(),
        }
    }

    #[test]
    fn an_ordinary_workspace_reads_and_writes_its_own_repository() {
        let rules = rules();
        let mut spec = spec("https://github.com/Acme/Shop");
        spec.config = Some("gpu".parse().expect("a name"));
        let cache = rules.cache_use(&spec).expect("a cache");
        assert_eq!(cache.reference.repository().as_str(), "ghcr.io/acme/shop");
        assert_eq!(cache.reference.tag(), "devcontainer-cache-gpu");
        assert!(cache.writable);
        spec.cache_access = CacheAccess::ReadOnly;
        assert!(!rules.cache_use(&spec).expect("a cache").writable);
    }

    #[test]
    fn a_workspace_that_does_not_use_its_cache_has_a_reason() {
        let rules = rules();
        let mut lightweight = spec("https://github.com/acme/shop");
        lightweight.lightweight = true;
        let mut off = spec("https://github.com/acme/shop");
        off.cache_access = CacheAccess::Off;
        for (spec, reason) in [
            (lightweight, CacheSkipReason::Lightweight),
            (off, CacheSkipReason::Off),
            (
                spec("https://git.example/acme/shop"),
                CacheSkipReason::NotEligible,
            ),
        ] {
            assert_eq!(rules.cache_use(&spec), Err(reason));
        }
    }

    #[test]
    fn what_comes_from_a_fork_is_only_read_whatever_was_asked_for() {
        let mut spec = spec("https://github.com/acme/shop");
        spec.git_ref = "refs/pull/7/head".parse().expect("a ref");
        assert!(!rules().cache_use(&spec).expect("a cache").writable);
    }
}
