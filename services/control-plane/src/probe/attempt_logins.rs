use std::sync::Arc;

use hearth_api::v1::{AttemptRef, Workspace, WorkspaceState};
use hearth_domain::Repository;

use super::once::ProbeOnce;
use crate::{
    cache::{CacheRights, CacheRules},
    credentials::{Ask, Credentials, Logins, Rights},
    error::CallError,
    store::Store,
};

/// What the logins are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Clone, fetch and push in the course of an attempt.
    Attempt,
    /// The user's own work in the workspace.
    Workspace,
}

/// Logins for the attempts of workspaces.
pub(crate) struct AttemptLogins {
    store: Arc<dyn Store>,
    credentials: Arc<Credentials>,
    rules: Arc<CacheRules>,
    probe: Arc<ProbeOnce>,
}

impl AttemptLogins {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        credentials: Arc<Credentials>,
        rules: Arc<CacheRules>,
        probe: Arc<ProbeOnce>,
    ) -> Self {
        Self {
            store,
            credentials,
            rules,
            probe,
        }
    }

    /// The workspace, if this is its newest attempt and it is to stay.
    pub(crate) async fn workspace(&self, attempt: AttemptRef) -> Result<Workspace, CallError> {
        let record = self.store.workspace(&attempt.workspace_id).await?;
        record
            .map(|record| record.workspace)
            .filter(|workspace| {
                workspace.attempt == attempt.attempt
                    && workspace.state() != WorkspaceState::Deleting
            })
            .ok_or(CallError::AttemptUnknown {
                id: attempt.workspace_id,
                attempt: attempt.attempt,
            })
    }

    /// Logins for a workspace; `refused_sha256` as in [`Ask`].
    pub(crate) async fn give(
        &self,
        workspace: &Workspace,
        purpose: Purpose,
        refused_sha256: &str,
    ) -> Logins {
        let spec = workspace.spec.clone().unwrap_or_default();
        // It was checked before it was stored.
        let Ok(repository) = spec.repository.parse::<Repository>() else {
            return Logins::default();
        };
        let cache = CacheRights::of(&spec, &self.rules);
        let rights = match purpose {
            Purpose::Workspace => Rights::Workspace,
            Purpose::Attempt => cache.rights,
        };
        let ask = Ask {
            repository: &repository,
            registry: cache.registry.as_deref(),
            rights,
            refused_sha256,
        };
        let logins = self.credentials.logins(&ask).await;
        if purpose == Purpose::Attempt {
            self.probe.start(workspace, &repository, &logins);
        }
        logins
    }
}
