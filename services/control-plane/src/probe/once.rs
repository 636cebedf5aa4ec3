use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use hearth_api::v1::{AccessCheckStatus, Workspace};
use hearth_domain::Repository;

use super::{probe, registry_of};
use crate::{cache_target::cache_target, core::Core};

/// More repositories than this are forgotten and probed again: a probe is cheap, a set that only grows is not.
const MAX_REMEMBERED: usize = 10_000;

/// What was probed since the control plane started: places of caches, and whether they were to be written.
#[derive(Debug, Default)]
pub(crate) struct Probed(Mutex<HashSet<(String, i32)>>);

impl Probed {
    /// Probes the repository of a workspace in the background if there are logins for it and nobody did so yet, and tells
    /// the workspace's log what does not work: whoever reads it knows before the push has failed.
    pub(crate) fn once(core: &Arc<Core>, workspace: &Workspace) {
        let spec = workspace.spec.clone().unwrap_or_default();
        let (Ok(repository), Ok(target)) = (
            spec.repository.parse::<Repository>(),
            cache_target(&spec, &core.cache_rules),
        ) else {
            return;
        };
        let hosts = [repository.host_port(), registry_of(&target).to_owned()];
        if !hosts.iter().any(|host| core.credentials.serve(host))
            || !core.probed.is_new((target.repository, target.access))
        {
            return;
        }
        let (core, id, attempt) = (core.clone(), workspace.id.clone(), workspace.attempt);
        core.clone().tasks.spawn("probe access", async move {
            let finding = tokio::select! {
                () = core.tasks.stopping().cancelled() => return,
                finding = probe(&core, &repository, &spec) => finding,
            };
            let failed = AccessCheckStatus::Failed;
            if finding.checks.iter().all(|check| check.status() != failed) {
                return;
            }
            tracing::warn!(workspace.id = id, "{}", finding.summary);
            let warning = format!(
                "{} `hearth cache probe` tells more.",
                finding.summary
            );
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
