use hearth_api::v1::{ContainerStarted, Failure, FailureReason, PipelineStep, event::Kind};

use super::{
    beside::Beside,
    container::write,
    context::Context,
    failure::failure,
    hook_runner::{HookRunner, stand_ins},
    hooks::Hooks,
    job::StartTarget,
    override_config::hookless_config,
    up::{config_path, empty_folder},
    usable::{Background, Usable},
};
use crate::{external::devcontainer::Started, scratch::ENGINE_SOCKET};

const STEP: PipelineStep = PipelineStep::Container;

/// Starts the containers of a workspace that was stopped, and runs the hooks that follow a start. What the clone says by now
/// does not matter: the container has its configuration in itself.
pub async fn start<'a>(
    cx: &'a Context<'_>,
    target: &StartTarget,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    let started = cx.recorder.step(STEP, "starts the workspace again", async {
        let (hooks, mut runner) = cx.within_limit(run(cx, &target.started)).await?;
        let blocking = hooks.blocking();
        if !(blocking.is_empty() && hooks.later().is_empty()) {
            runner.stand_ins = stand_ins(cx).await?;
        }
        if !blocking.is_empty()
            && let Err(failure) = runner.run_blocking(cx, &blocking).await
        {
            return Ok((Some(failure), Beside::default()));
        }
        let later = hooks.later();
        Ok((
            None,
            match later.is_empty() {
                true => Beside::default(),
                false => Beside::new(runner.run_later(cx, later)),
            },
        ))
    });
    let (failure, later) = started.await?;
    background.hooks = later;
    let failure = target.recovery.clone().or(failure);
    Ok(failure.map_or(Usable::Ready, Usable::Recovery))
}

async fn run(cx: &Context<'_>, target: &Started) -> Result<(Hooks, HookRunner), Failure> {
    if let Some(problem) = cx.node.engine.check(cx.externals.engine.as_ref()).await {
        return Err(failure(FailureReason::EngineFailed, STEP, problem));
    }
    let (engine, workspace) = (&cx.externals.engine, &cx.job.attempt.workspace);
    let refused = |error| failure(FailureReason::ContainerFailed, STEP, error);
    let known = engine.container(workspace, &target.container_id).await;
    let Some(known) = known.map_err(refused)? else {
        return Err(failure(
            FailureReason::ContainerGone,
            STEP,
            format!(
                "its container was removed; prepare it anew with `hearth up --workspace {workspace}`"
            ),
        ));
    };
    let door = cx.scratch.path().join(ENGINE_SOCKET);
    let started = engine.start_workspace(workspace, &target.container_id, &door);
    for warning in started.await.map_err(refused)? {
        cx.recorder.warn(warning);
    }
    cx.recorder.note(Kind::Container(ContainerStarted {
        container_id: target.container_id.clone(),
        remote_user: target.remote_user.clone(),
        remote_folder: target.remote_folder.clone(),
    }));
    let hookless = cx.scratch.path().join("hookless.json");
    write(&hookless, hookless_config(None, &target.remote_folder)).await?;
    let name = cx.job.spec.repository.name();
    let folder = empty_folder(cx, name.as_ref()).await?;
    let runner = HookRunner {
        config: config_path(&folder, None),
        folder,
        hookless,
        started: target.clone(),
        stand_ins: None,
    };
    let hooks = Hooks::of(None, &known.metadata().entries);
    Ok((hooks.that_follow_a_start(), runner))
}
