use std::{collections::HashSet, sync::Arc};

use hearth_api::v1::AccessCheckStatus;
use hearth_domain::CacheRepository;
use hearth_runtime::Tasks;
use parking_lot::Mutex;

use super::access::Probe;
use crate::{cache::CacheRules, credentials::Logins, record::Record, workspace::Journal};

/// More repositories than this are forgotten and probed again: a probe is cheap, a set that only grows is not.
const MAX_REMEMBERED: usize = 10_000;

/// Probes each repository once after the control plane started, with the first logins that an attempt gets.
pub(crate) struct ProbeOnce {
    probe: Arc<Probe>,
    rules: Arc<CacheRules>,
    journal: Arc<Journal>,
    tasks: Tasks,
    /// Places of caches that were probed, and whether they were to be written.
    probed: Mutex<HashSet<(CacheRepository, bool)>>,
}

impl ProbeOnce {
    pub(crate) fn new(
        probe: Arc<Probe>,
        rules: Arc<CacheRules>,
        journal: Arc<Journal>,
        tasks: Tasks,
    ) -> Self {
        Self {
            probe,
            rules,
            journal,
            tasks,
            probed: Mutex::default(),
        }
    }

    /// Probes the repository of a workspace in the background if that was not done yet, with the logins that its attempt
    /// was just given, and enters what does not work into the workspace's log: its readers know before the push has failed.
    ///
    /// Not with logins that have a problem: the attempt reports that itself.
    pub(super) fn start(self: &Arc<Self>, record: &Record, logins: &Logins) {
        let Ok(cache) = self.rules.cache_use(&record.spec) else {
            return;
        };
        let none = logins.git.is_none() && logins.registry.is_none();
        if none
            || !logins.problems.is_empty()
            || !self.is_new((cache.reference.repository().clone(), cache.writable))
        {
            return;
        }
        let (attempt, spec) = (record.attempt(), record.spec.clone());
        let (once, logins) = (self.clone(), logins.clone());
        self.tasks.spawn("probe access", async move {
            let finding = tokio::select! {
                () = once.tasks.stopping().cancelled() => return,
                finding = once.probe.with(&spec, logins) => finding,
            };
            let failed = AccessCheckStatus::Failed;
            if finding.checks.iter().all(|check| check.status() != failed) {
                return;
            }
            tracing::warn!(workspace.id = %attempt.workspace, "{}", finding.summary);
            let warning = format!("{} `hearth cache probe` tells more.", finding.summary);
            if let Err(error) = once.journal.note(&attempt, &warning).await {
                tracing::info!(
                    workspace.id = %attempt.workspace,
                    %error,
                    "the finding of the access probe is not in the workspace's log: the workspace or its attempt is gone"
                );
            }
        });
    }

    fn is_new(&self, cache: (CacheRepository, bool)) -> bool {
        let mut known = self.probed.lock();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(cache)
    }
}
