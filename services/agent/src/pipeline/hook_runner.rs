use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use hearth_api::v1::{Failure, FailureReason, PipelineStep, WorkspaceState};
use serde_json::Value;
use tokio::{sync::watch, time::timeout_at};

use super::{
    context::Context, failure::failure, hook_log::HookLog, hooks::Hook, recovery_note::leave_note,
};
use crate::{
    external::devcontainer::{HooksRequest, Started},
    secrets::secrets_environment,
};

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
    /// File with stand-ins for its secrets.
    pub stand_ins: Option<PathBuf>,
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
        let ran = timeout_at(cx.deadline, self.run(cx, true, hooks, &mut log)).await;
        ran.unwrap_or_else(|_| {
            log.leave_running();
            Err(cx.timed_out(*current.borrow()))
        })
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
                        log.leave_running();
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
                stand_ins: self.stand_ins.as_deref(),
                mask: cx.recorder.mask(),
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

/// Gets the secrets of the hooks, and writes a file with stand-ins for them. Hooks run without those that cannot be had.
pub async fn stand_ins(cx: &Context<'_>) -> Result<Option<PathBuf>, Failure> {
    let attempt = &cx.job.attempt;
    match secrets_environment(&*cx.externals.credentials, attempt).await {
        Ok(issued) => {
            for problem in issued.problems {
                cx.recorder.warn(problem);
            }
            cx.recorder.mask().add(&issued.secrets);
            cx.secrets.hold(issued.secrets);
        }
        Err(error) => cx
            .recorder
            .warn(format!("the hooks run without secrets: {error}")),
    }
    let Some(stand_ins) = cx.secrets.stand_ins() else {
        return Ok(None);
    };
    let file = cx.scratch.path().join("stand-ins.json");
    let written = tokio::fs::write(&file, Value::Object(stand_ins).to_string()).await;
    written.map_err(|error| failure(FailureReason::Internal, PipelineStep::Container, error))?;
    Ok(Some(file))
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
