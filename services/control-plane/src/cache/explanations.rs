use std::sync::Arc;

use hearth_api::v1::Explanation;
use hearth_domain::{CacheRepository, ConfigName, GitRef, Repository, WorkspaceId};

use super::explain::explain;
use crate::{
    error::CallError,
    store::{Decided, Store},
};

/// Why the cache did what it did, from what attempts asked it.
pub(crate) struct Explanations(Arc<dyn Store>);

impl Explanations {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Explains the newest attempt of a workspace, if `sees` says that its repository may be seen.
    pub(crate) async fn of_workspace(
        &self,
        id: WorkspaceId,
        sees: impl Fn(&Repository) -> bool,
    ) -> Result<Explanation, CallError> {
        let record = self.0.workspace(&id).await?;
        let Some(record) = record.filter(|record| sees(&record.spec.repository)) else {
            return Err(CallError::WorkspaceUnknown(id));
        };
        let lookups = self.0.lookups(&record.attempt()).await?;
        explain(&lookups, Some(&record.workspace)).ok_or(CallError::CacheKeyUnknown(id.to_string()))
    }

    /// What the newest attempt of a ref would find now.
    pub(crate) async fn of_ref(
        &self,
        repository: &CacheRepository,
        git_ref: &GitRef,
        config: Option<&ConfigName>,
    ) -> Result<Option<Explanation>, CallError> {
        let mut seen = self.0.newest_lookups(repository, git_ref, config).await?;
        if seen.is_empty() {
            return Err(CallError::RefUnknown);
        }
        for lookup in &mut seen {
            let found = self.0.cache_entry(&lookup.place).await?;
            (lookup.decided, lookup.entry) = match found {
                Some(found) => (Decided::Hit, Some(found)),
                None => {
                    let (service, platform) = (lookup.service.as_ref(), &lookup.platform);
                    let newest = self
                        .0
                        .newest_cache_entry(repository, config, service, platform);
                    (Decided::Build, newest.await?)
                }
            };
        }
        Ok(explain(&seen, None))
    }
}
