use std::sync::Arc;

use hearth_api::v1::WorkspaceState;
use hearth_domain::AttemptRef;

use super::once::ProbeOnce;
use crate::{
    cache::{CacheRules, CacheUse},
    credentials::{Ask, Credentials, Logins, Rights},
    error::CallError,
    record::Record,
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
    pub(crate) async fn workspace(&self, attempt: &AttemptRef) -> Result<Record, CallError> {
        let record = self.store.workspace(&attempt.workspace).await?;
        record
            .filter(|record| {
                record.attempt() == *attempt && record.workspace.state() != WorkspaceState::Deleting
            })
            .ok_or_else(|| CallError::AttemptUnknown {
                id: attempt.workspace.to_string(),
                attempt: attempt.number,
            })
    }

    /// Logins for a workspace; `refused_sha256` as in [`Ask`].
    pub(crate) async fn give(
        &self,
        record: &Record,
        purpose: Purpose,
        refused_sha256: &str,
    ) -> Logins {
        let spec = &record.spec;
        let cache = self.rules.cache_use(spec).ok();
        let rights = match purpose {
            Purpose::Workspace => Rights::Workspace,
            Purpose::Attempt => cache.as_ref().map_or(Rights::Read, CacheUse::rights),
        };
        let ask = Ask {
            repository: &spec.repository,
            registry: cache.as_ref().map(CacheUse::registry_host),
            rights,
            refused_sha256,
        };
        let logins = self.credentials.logins(&ask).await;
        if purpose == Purpose::Attempt {
            self.probe.start(record, &logins);
        }
        logins
    }
}
