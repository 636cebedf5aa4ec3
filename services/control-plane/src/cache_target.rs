use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheSkipReason, CacheTarget, StartAttemptRequest, Workspace,
    WorkspaceSpec,
};
use hearth_domain::{CacheReference, CacheRegistry, ConfigName, Repository};

use crate::{cache::policy::CacheWriters, credentials::Rights};

/// Where caches are and who may write to them.
#[derive(Debug)]
pub(crate) struct CacheRules {
    pub(crate) registry: CacheRegistry,
    pub(crate) writers: CacheWriters,
}

/// What the agent is told so that it can prepare the workspace.
pub(crate) fn start_request(
    workspace: &Workspace,
    cache: Result<CacheTarget, CacheSkipReason>,
) -> StartAttemptRequest {
    let spec = workspace.spec.clone().unwrap_or_default();
    let (cache, skip) = match cache {
        Ok(target) => (Some(target), CacheSkipReason::Unspecified),
        Err(skip) => (None, skip),
    };
    StartAttemptRequest {
        attempt: Some(AttemptRef {
            workspace_id: workspace.id.clone(),
            attempt: workspace.attempt,
        }),
        spec: Some(spec),
        cache,
        cache_skip_reason: skip.into(),
    }
}

/// Where the cache of a workspace is and what its attempts may do with it, or why they leave it alone.
pub(crate) fn cache_target(
    spec: &WorkspaceSpec,
    rules: &CacheRules,
) -> Result<CacheTarget, CacheSkipReason> {
    if spec.lightweight {
        return Err(CacheSkipReason::Lightweight);
    }
    let access = match spec.cache_access() {
        CacheAccess::Unspecified | CacheAccess::ReadWrite if rules.writers.allow(&spec.r#ref) => {
            CacheAccess::ReadWrite
        }
        CacheAccess::Unspecified | CacheAccess::ReadWrite | CacheAccess::ReadOnly => {
            CacheAccess::ReadOnly
        }
        CacheAccess::Off => return Err(CacheSkipReason::Off),
    };
    let reference = rules
        .reference(&spec.repository, &spec.config)
        .ok_or(CacheSkipReason::NotEligible)?;
    Ok(CacheTarget {
        repository: reference.repository().to_string(),
        tag: reference.tag().to_owned(),
        access: access.into(),
        newest_digest: String::new(),
    })
}

/// Which registry an attempt needs a login for, and with what rights.
pub(crate) struct CacheRights {
    /// `host[:port]`; `None` where the cache is left alone.
    pub(crate) registry: Option<String>,
    pub(crate) rights: Rights,
}

impl CacheRights {
    pub(crate) fn of(spec: &WorkspaceSpec, rules: &CacheRules) -> Self {
        let Ok(target) = cache_target(spec, rules) else {
            return Self {
                registry: None,
                rights: Rights::Read,
            };
        };
        let rights = Rights::of(target.access());
        Self {
            registry: Some(registry_host(&target.repository).to_owned()),
            rights,
        }
    }
}

/// `host[:port]` of the registry that `repository` (`<registry>/<path>`) is in.
pub(crate) fn registry_host(repository: &str) -> &str {
    repository
        .split_once('/')
        .map_or(repository, |(host, _)| host)
}

impl CacheRules {
    /// `None` where the registry does not cache for the repository's host, or the names are no names: those of a
    /// workspace were checked before it was stored.
    pub(crate) fn reference(&self, repository: &str, config: &str) -> Option<CacheReference> {
        let repository: Repository = repository.parse().ok()?;
        let config = match config {
            "" => None,
            name => Some(name.parse::<ConfigName>().ok()?),
        };
        CacheReference::new(&self.registry, &repository, config.as_ref()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> CacheRules {
        CacheRules {
            registry: "ghcr.io".parse().expect("a registry"),
            writers: "*".parse().expect("patterns"),
        }
    }

    fn spec(repository: &str) -> WorkspaceSpec {
        WorkspaceSpec {
            repository: repository.into(),
            ..WorkspaceSpec::default()
        }
    }

    #[test]
    fn an_ordinary_workspace_reads_and_writes_its_own_repository() {
        let rules = rules();
        let mut spec = spec("https://github.com/Acme/Shop");
        spec.config = "gpu".into();
        let target = cache_target(&spec, &rules).expect("a target");
        assert_eq!(target.repository, "ghcr.io/acme/shop");
        assert_eq!(target.tag, "devcontainer-cache-gpu");
        assert_eq!(target.access(), CacheAccess::ReadWrite);
        spec.cache_access = CacheAccess::ReadOnly.into();
        let target = cache_target(&spec, &rules).expect("a target");
        assert_eq!(target.access(), CacheAccess::ReadOnly);
    }

    #[test]
    fn whoever_leaves_the_cache_alone_is_told_why() {
        let rules = rules();
        let mut lightweight = spec("https://github.com/acme/shop");
        lightweight.lightweight = true;
        let mut off = spec("https://github.com/acme/shop");
        off.cache_access = CacheAccess::Off.into();
        for (spec, reason) in [
            (lightweight, CacheSkipReason::Lightweight),
            (off, CacheSkipReason::Off),
            (
                spec("https://git.example/acme/shop"),
                CacheSkipReason::NotEligible,
            ),
        ] {
            let request = start_request(&Workspace::default(), cache_target(&spec, &rules));
            assert_eq!(request.cache, None);
            assert_eq!(request.cache_skip_reason(), reason);
        }
    }

    #[test]
    fn what_comes_from_a_fork_is_only_read_whatever_was_asked_for() {
        let mut spec = spec("https://github.com/acme/shop");
        spec.cache_access = CacheAccess::ReadWrite.into();
        spec.r#ref = "refs/pull/7/head".into();
        let target = cache_target(&spec, &rules()).expect("a target");
        assert_eq!(target.access(), CacheAccess::ReadOnly);
    }
}
