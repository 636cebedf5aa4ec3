use std::sync::Arc;

use hearth_api::v1::Explanation;
use hearth_domain::{CacheRepository, ConfigName, GitRef, Repository, WorkspaceId};

use super::explain::explain;
use crate::{
    error::CallError,
    store::{Decided, Lookup, Store},
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
        let lookup = self.0.lookup(&record.attempt()).await?;
        explain(lookup.as_ref(), Some(&record.workspace))
            .ok_or(CallError::CacheKeyUnknown(id.to_string()))
    }

    /// What the newest attempt of a ref would find now.
    pub(crate) async fn of_ref(
        &self,
        repository: &CacheRepository,
        git_ref: &GitRef,
        config: Option<&ConfigName>,
    ) -> Result<Option<Explanation>, CallError> {
        let seen = self.0.newest_lookup(repository, git_ref, config).await?;
        let seen = seen.ok_or(CallError::RefUnknown)?;
        let found = self.0.cache_entry(&seen.place).await?;
        let decided = match found {
            Some(_) => Decided::Hit,
            None => Decided::Build,
        };
        let entry = match found {
            Some(entry) => Some(entry),
            None => {
                self.0
                    .newest_cache_entry(repository, config, &seen.platform)
                    .await?
            }
        };
        let lookup = Lookup {
            decided,
            entry,
            ..seen
        };
        Ok(explain(Some(&lookup), None))
    }
}
