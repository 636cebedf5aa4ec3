use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use hearth_api::v1::{Failure, PipelineStep, WorkspaceState};
use tokio::{sync::watch, time::timeout_at};

use super::{
    context::Context,
    hooks::{Hook, HookLog},
    recovery_note::leave_note,
};
use crate::external::devcontainer::{HooksRequest, Started};

/// Where the CLI keeps its marks if it cannot write into the user's home folder.
const OTHER_MARKS: &str = "/tmp/.hearth-hooks";
/// A `postStartCommand` that runs for so long is a server: it is left alone.
const SERVER_AFTER: Duration = Duration::from_secs(10);

/// Runs the hooks of a container.
pub struct HookRunner {
    /// An empty folder named like the clone.
    pub folder: PathBuf,
    /// Where the configuration would be in it.
    pub config: PathBuf,
    /// A configuration without hooks.
    pub hookless: PathBuf,
    /// The container.
    pub started: Started,
}

impl HookRunner {
    /// Runs the hooks that the workspace is not ready without. At the attempt's time limit they are left alone.
    pub async fn run_blocking(
        &self,
        cx: &Context<'_>,
        hooks: &BTreeSet<Hook>,
    ) -> Result<(), Failure> {
        let step = PipelineStep::Container;
        let mut log = HookLog::new(cx.recorder, step);
        let current = log.current();
        let run = self.run(cx, true, hooks, &mut log);
        match timeout_at(cx.deadline, run).await {
            Ok(ran) => ran,
            Err(_) => Err(cx.timed_out(*current.borrow())),
        }
    }

    /// Runs the hooks that are left while the workspace is ready. A failure puts it into RECOVERY; a hook that does not
    /// end is left alone.
    pub async fn run_later(self, cx: &Context<'_>, hooks: BTreeSet<Hook>) {
        let step = PipelineStep::Hooks;
        let mut log = HookLog::new(cx.recorder, step);
        let current = log.current();
        let ran = cx
            .recorder
            .step(step, "runs the hooks that the workspace does not wait for", async {
                tokio::select! {
                    biased;
                    ran = self.run(cx, false, &hooks, &mut log) => ran,
                    hook = endless(current, cx.deadline) => {
                        let hook = hook.map_or_else(|| "a hook".to_owned(), |hook| hook.to_string());
                        cx.recorder.warn(format!(
                            "{hook} has not ended: it is left running in the container, and its output is not read any more"
                        ));
                        Ok(())
                    }
                }
            })
            .await;
        if let Err(failure) = ran {
            leave_note(cx, &self.started, &failure).await;
            cx.recorder.state(WorkspaceState::Recovery, Some(failure));
        }
    }

    async fn run(
        &self,
        cx: &Context<'_>,
        blocking_only: bool,
        hooks: &BTreeSet<Hook>,
        log: &mut HookLog,
    ) -> Result<(), Failure> {
        for marks in [None, Some(OTHER_MARKS)] {
            let request = HooksRequest {
                workspace: cx.cli_workspace(&self.folder, &self.config),
                hookless_config: &self.hookless,
                container_id: &self.started.container_id,
                blocking_only,
                marks,
            };
            let cli = &cx.externals.devcontainer;
            let result = cli.run_hooks(&request, &mut |line| log.take(line)).await;
            log.failure(result)?;
            // The CLI reports success, and runs no hook at all, where it cannot write its marks.
            if log.missing(hooks) != *hooks {
                break;
            }
        }
        log.all_ran(hooks)
    }
}

/// Ends when a `postStartCommand` turns out to be a server, or at the attempt's time limit; returns the hook that runs.
async fn endless(
    mut current: watch::Receiver<Option<Hook>>,
    deadline: tokio::time::Instant,
) -> Option<Hook> {
    let server = async {
        if current
            .wait_for(|hook| *hook == Some(Hook::PostStart))
            .await
            .is_err()
        {
            // The hooks have ended.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(SERVER_AFTER).await;
    };
    // Either way.
    let _ = timeout_at(deadline, server).await;
    *current.borrow()
}
