use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheSkipReason, CacheTarget, StartAttemptRequest, Workspace,
    WorkspaceSpec,
};
use hearth_domain::{CacheReference, CacheRegistry, ConfigName, Repository};

/// What the agent is told so that it can prepare the workspace.
pub(crate) fn start_request(
    workspace: &Workspace,
    registry: &CacheRegistry,
) -> StartAttemptRequest {
    let spec = workspace.spec.clone().unwrap_or_default();
    let (cache, skip) = match cache_target(&spec, registry) {
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
        registry_credential: None,
        git_credential: None,
    }
}

/// Where the cache of a workspace is and what its attempts may do with it, or why they leave it alone.
pub(crate) fn cache_target(
    spec: &WorkspaceSpec,
    registry: &CacheRegistry,
) -> Result<CacheTarget, CacheSkipReason> {
    if spec.lightweight {
        return Err(CacheSkipReason::Lightweight);
    }
    let access = match spec.cache_access() {
        CacheAccess::Unspecified | CacheAccess::ReadWrite => CacheAccess::ReadWrite,
        CacheAccess::ReadOnly => CacheAccess::ReadOnly,
        CacheAccess::Off => return Err(CacheSkipReason::Off),
    };
    let reference = reference(spec, registry).ok_or(CacheSkipReason::NotEligible)?;
    Ok(CacheTarget {
        repository: reference.repository().to_owned(),
        tag: reference.tag().to_owned(),
        access: access.into(),
        newest_digest: String::new(),
    })
}

/// `None` where the registry does not cache for the repository's host. The spec was checked before it was stored.
fn reference(spec: &WorkspaceSpec, registry: &CacheRegistry) -> Option<CacheReference> {
    let repository: Repository = spec.repository.parse().ok()?;
    let config = match spec.config.as_str() {
        "" => None,
        name => Some(name.parse::<ConfigName>().ok()?),
    };
    CacheReference::new(registry, &repository, config.as_ref()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(repository: &str) -> WorkspaceSpec {
        WorkspaceSpec {
            repository: repository.into(),
            ..WorkspaceSpec::default()
        }
    }

    #[test]
    fn an_ordinary_workspace_reads_and_writes_its_own_repository() {
        let registry = "ghcr.io".parse().expect("registry");
        let mut spec = spec("https://github.com/Acme/Shop");
        spec.config = "gpu".into();
        let target = cache_target(&spec, &registry).expect("a target");
        assert_eq!(target.repository, "ghcr.io/acme/shop");
        assert_eq!(target.tag, "devcontainer-cache-gpu");
        assert_eq!(target.access(), CacheAccess::ReadWrite);
        spec.cache_access = CacheAccess::ReadOnly.into();
        let target = cache_target(&spec, &registry).expect("a target");
        assert_eq!(target.access(), CacheAccess::ReadOnly);
    }

    #[test]
    fn whoever_leaves_the_cache_alone_is_told_why() {
        let registry = "ghcr.io".parse().expect("registry");
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
            let workspace = Workspace {
                spec: Some(spec),
                ..Workspace::default()
            };
            let request = start_request(&workspace, &registry);
            assert_eq!(request.cache, None);
            assert_eq!(request.cache_skip_reason(), reason);
        }
    }
}
