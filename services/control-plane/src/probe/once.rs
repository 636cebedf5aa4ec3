use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use hearth_api::v1::{AccessCheckStatus, Workspace};
use hearth_domain::Repository;

use super::probe_with;
use crate::{cache_target::cache_target, core::Core, credentials::Logins};

/// More repositories than this are forgotten and probed again: a probe is cheap, a set that only grows is not.
const MAX_REMEMBERED: usize = 10_000;

/// What was probed since the control plane started: places of caches, and whether they were to be written.
#[derive(Debug, Default)]
pub(crate) struct Probed(Mutex<HashSet<(String, i32)>>);

impl Probed {
    /// Probes the repository of a workspace in the background if nobody did so yet, with the logins that its attempt was
    /// just given, and tells the workspace's log what does not work: whoever reads it knows before the push has failed.
    ///
    /// Not with logins that have a problem: the attempt tells of that itself.
    pub(crate) fn once(
        core: &Arc<Core>,
        workspace: &Workspace,
        repository: &Repository,
        logins: &Logins,
    ) {
        let spec = workspace.spec.clone().unwrap_or_default();
        let Ok(target) = cache_target(&spec, &core.cache_rules) else {
            return;
        };
        let none = logins.git.is_none() && logins.registry.is_none();
        if none
            || !logins.problems.is_empty()
            || !core.probed.is_new((target.repository, target.access))
        {
            return;
        }
        let (id, attempt) = (workspace.id.clone(), workspace.attempt);
        let (core, repository, logins) = (core.clone(), repository.clone(), logins.clone());
        core.clone().tasks.spawn("probe access", async move {
            let finding = tokio::select! {
                () = core.tasks.stopping().cancelled() => return,
                finding = probe_with(&core, &repository, &spec, logins) => finding,
            };
            let failed = AccessCheckStatus::Failed;
            if finding.checks.iter().all(|check| check.status() != failed) {
                return;
            }
            tracing::warn!(workspace.id = id, "{}", finding.summary);
            let warning = format!("{} `hearth cache probe` tells more.", finding.summary);
            if let Err(error) = core.journal.note(&id, attempt, &warning).await {
                tracing::info!(workspace.id = id, %error, "the workspace did not live to hear of its probe");
            }
        });
    }

    fn is_new(&self, place: (String, i32)) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(place)
    }
}
