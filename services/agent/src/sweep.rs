//! Cleanup of what an earlier process of the agent left unfinished: the folders of its attempts, and the containers and
//! volumes of workspaces that were not ready. The kernel killed its commands together with it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use hearth_runtime::{Metrics, blocking};
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::Attempts,
    clone_files::remove_folder,
    external::engine::Engine,
    scratch::{self, Leftover},
};

/// How long after a try what is left is tried again.
const AGAIN: Duration = Duration::from_secs(300);

/// Removes leftovers. One that cannot be removed, such as an immutable file or a busy mount, keeps no agent from its work.
pub struct Sweeper {
    engine: Arc<dyn Engine>,
    left: Vec<Leftover>,
    number: Gauge,
}

impl Sweeper {
    /// Tries all that there is in `attempts_dir`.
    pub async fn begin(
        engine: Arc<dyn Engine>,
        attempts_dir: &Path,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let number = Gauge::default();
        metrics.register(|registry| {
            registry.register(
                "agent_leftovers",
                "Interrupted attempts of earlier processes of the agent that could not be removed yet",
                number.clone(),
            );
        });
        let left =
            scratch::leftovers(attempts_dir).with_context(|| attempts_dir.display().to_string())?;
        let mut this = Self {
            engine,
            left,
            number,
        };
        this.try_all(None).await;
        Ok(this)
    }

    /// Tries what is left again, until nothing is.
    pub async fn run(mut self, attempts: Attempts, stop: CancellationToken) {
        while !self.left.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => self.try_all(Some(&attempts)).await,
            }
        }
    }

    async fn try_all(&mut self, attempts: Option<&Attempts>) {
        let mut left = Vec::new();
        for leftover in std::mem::take(&mut self.left) {
            if let Err(error) = self.remove(&leftover, attempts).await {
                tracing::warn!(
                    path = %leftover.path.display(),
                    again_seconds = AGAIN.as_secs(),
                    "what an interrupted attempt left cannot be removed: {error:#}"
                );
                left.push(leftover);
            }
        }
        self.number.set(left.len().try_into().unwrap_or(i64::MAX));
        self.left = left;
    }

    async fn remove(&self, leftover: &Leftover, attempts: Option<&Attempts>) -> anyhow::Result<()> {
        if let (Some(attempt), false) = (&leftover.attempt, leftover.ready) {
            // A later attempt of this process has the workspace's name, and began by removing what was there.
            let is_known = attempts.is_some_and(|attempts| attempts.knows(&attempt.workspace));
            if !is_known {
                tracing::info!(
                    workspace.id = %attempt.workspace,
                    attempt = attempt.number,
                    "removes what an interrupted attempt left behind"
                );
                self.engine.remove_workspace(&attempt.workspace).await?;
            }
        }
        let path = leftover.path.clone();
        blocking(move || remove_folder(&path)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hearth_runtime::Tasks;

    use super::*;
    use crate::external::engine::fake::FakeEngine;

    #[tokio::test]
    async fn what_cannot_be_removed_keeps_no_agent_from_its_work_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ws-1-1", "ws-2-1", "ws-3-1", "no attempt"] {
            fs::create_dir_all(dir.path().join(name).join("home")).unwrap();
        }
        fs::write(dir.path().join("ws-2-1/ready"), "").unwrap();
        let engine = FakeEngine::default();
        let refused = ["ws-1", "ws-3"].map(str::to_owned);
        engine.lock().refuses.extend(refused);
        let metrics = Metrics::default();
        let mut sweeper = Sweeper::begin(Arc::new(engine.clone()), dir.path(), &metrics)
            .await
            .unwrap();
        assert_eq!(sweeper.number.get(), 2);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(engine.lock().removed_workspaces.is_empty());

        // ws-3 is prepared anew meanwhile: only the old attempt's folder goes.
        let attempts = Attempts::new(Tasks::default());
        let attempt = hearth_domain::AttemptRef {
            workspace: "ws-3".parse().unwrap(),
            number: 2,
        };
        attempts.start(&attempt, |_, _| async {}).unwrap();
        engine.lock().refuses.clear();
        sweeper.try_all(Some(&attempts)).await;
        assert_eq!(sweeper.number.get(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(engine.lock().removed_workspaces, ["ws-1"]);
    }
}
