//! The way of an attempt, from the request to a workspace that is ready, and on to a cache that has it.
//!
//! ```text
//!  validate ── clone ── key ── resolve ── image ── container ── READY ── push
//!           │                    │          ▲
//!           │                    └── hit ── fetch, or build where that fails
//!           └── bet: the newest image is fetched meanwhile
//! ```
//!
//! Whatever returns `Result<_, Failure>` is fatal for the attempt. The cache's own steps cannot fail it: their types
//! have no error.

mod bet;
mod clone;
mod container;
mod folders;
mod git_mount;
mod image;
mod job;
mod key;
mod owner;
mod push;
mod resolve;
mod run;

use hearth_api::v1::{
    CacheSkipReason, Failure, FailureReason, PipelineStep, WorkspaceState, event::Kind,
};

use crate::{
    attempt::{Recorder, without_escapes},
    config::{ConfigError, DevcontainerConfig, ImageSource},
    credentials::Logins,
    parties::Parties,
};
use clone::clone;
use container::Devcontainer;
use image::Image;

use bet::Bet;
pub use folders::{HELPERS, SOCKET, Scratch};
pub(crate) use job::is_workspace_id;
pub use job::{CacheUse, Job, NodeFacts};
pub use push::PushPlan;
pub use run::{Places, run};

/// Everything that a step works with.
pub struct Context<'a> {
    /// What was asked for.
    pub job: &'a Job,
    /// The node that it runs on.
    pub node: &'a NodeFacts,
    /// Who it works with.
    pub parties: &'a Parties,
    /// Where it tells what happens.
    pub recorder: &'a Recorder,
    /// Private folder of the attempt.
    pub scratch: &'a Scratch,
    /// Its logins.
    pub logins: &'a Logins,
    /// Folder of the workspace that its container sees, so that git in it can log in. `None` where git needs no login.
    pub git_access: Option<&'a std::path::Path>,
}

/// A clone in the workspace's volume.
#[derive(Debug)]
pub struct Clone {
    /// Where the volume is on the node.
    pub volume: std::path::PathBuf,
    /// The clone's folder in it, named like the repository.
    pub folder: std::path::PathBuf,
    /// Full hash of the commit.
    pub commit: String,
}

/// A workspace that can be used, and what is left to do for the cache.
#[derive(Debug)]
pub struct Ready {
    /// READY or RECOVERY.
    pub state: WorkspaceState,
    /// Why it is in RECOVERY.
    pub failure: Option<Failure>,
    /// The background work.
    pub push: PushPlan,
}

/// Prepares the workspace.
pub async fn prepare(cx: &Context<'_>) -> Result<Ready, Failure> {
    validate(cx).await?;
    let mut bet = Bet::place(cx);
    let ready = prepare_beside(cx, &mut bet).await;
    bet.call_off(cx).await;
    ready
}

async fn prepare_beside(cx: &Context<'_>, bet: &mut Bet<'_>) -> Result<Ready, Failure> {
    let clone = bet.beside(clone(cx)).await?;
    if cx.job.spec.lightweight {
        return default_image(cx, &clone, CacheSkipReason::Lightweight).await;
    }
    let found = DevcontainerConfig::find(&clone.folder, cx.job.config.as_ref());
    if !matches!(found, Ok(Some(_))) {
        bet.call_off(cx).await;
    }
    let config = match found {
        Ok(Some(config)) => config,
        Ok(None) => return default_image(cx, &clone, CacheSkipReason::NoDevcontainer).await,
        Err(error @ ConfigError::NotFound(_)) => {
            return Err(failure(
                FailureReason::ConfigNotFound,
                PipelineStep::Key,
                error,
            ));
        }
        Err(error @ ConfigError::Invalid { .. }) => {
            let failure = failure(FailureReason::ConfigInvalid, PipelineStep::Key, error);
            return recover(cx, &clone, failure).await;
        }
    };
    match own_devcontainer(cx, &clone, &config, bet).await {
        Err(failure) if is_the_repositorys_own(failure.reason()) => {
            recover(cx, &clone, failure).await
        }
        result => result,
    }
}

/// The repository's own devcontainer, by way of the cache.
async fn own_devcontainer(
    cx: &Context<'_>,
    clone: &Clone,
    config: &DevcontainerConfig,
    bet: &mut Bet<'_>,
) -> Result<Ready, Failure> {
    let (devcontainer, push, _in_use) = match config.image_source() {
        Some(ImageSource::Compose) => {
            bet.call_off(cx).await;
            cx.recorder
                .note(Kind::Cache(image::skipped(CacheSkipReason::Compose)));
            (
                Devcontainer::Compose,
                PushPlan::not_eligible("Docker Compose projects are not cached"),
                None,
            )
        }
        _ => {
            let (key, lookup) = bet
                .beside(async {
                    let key = key::compute(cx, clone, config).await;
                    let lookup = resolve::resolve(cx, &key).await;
                    (key, lookup)
                })
                .await;
            let Image {
                name,
                report,
                push,
                in_use,
            } = image::obtain(cx, clone, config, key, lookup, bet).await?;
            cx.recorder.note(Kind::Cache(report));
            (Devcontainer::Image(name), push, Some(in_use))
        }
    };
    container::start(cx, clone, Some(config), &devcontainer).await?;
    Ok(Ready {
        state: WorkspaceState::Ready,
        failure: None,
        push,
    })
}

/// The default image with the clone in it; the cache steps aside.
async fn default_image(
    cx: &Context<'_>,
    clone: &Clone,
    reason: CacheSkipReason,
) -> Result<Ready, Failure> {
    let name = image::fetch_default(cx).await?;
    cx.recorder.note(Kind::Cache(image::skipped(reason)));
    container::start(cx, clone, None, &Devcontainer::Image(name)).await?;
    Ok(Ready {
        state: WorkspaceState::Ready,
        failure: None,
        push: PushPlan::skipped(reason),
    })
}

/// A repository whose configuration fails still gets a workspace, to mend it in.
async fn recover(cx: &Context<'_>, clone: &Clone, failure: Failure) -> Result<Ready, Failure> {
    cx.recorder.warn(format!(
        "the repository's own devcontainer failed, the default image takes its place: {}",
        failure.message
    ));
    folders::leave_note(clone, &failure);
    match default_image(cx, clone, CacheSkipReason::Fallback).await {
        Ok(ready) => Ok(Ready {
            state: WorkspaceState::Recovery,
            failure: Some(failure),
            ..ready
        }),
        // What was wrong first is what helps.
        Err(second) => {
            cx.recorder
                .warn(format!("the default image failed too: {}", second.message));
            Err(failure)
        }
    }
}

async fn validate(cx: &Context<'_>) -> Result<(), Failure> {
    let step = PipelineStep::Validate;
    cx.recorder
        .step(step, "checks the node", async {
            let needed = cx.node.min_free_disk_bytes;
            let look = || {
                cx.node.disk.free_bytes().map_err(|error| {
                    failure(
                        FailureReason::EngineFailed,
                        step,
                        format!("the engine's data folder cannot be looked at: {error}"),
                    )
                })
            };
            if look()? >= needed {
                return Ok(());
            }
            // A node that is full of images that nobody uses still takes work.
            let engine = cx.parties.engine.as_ref();
            cx.node.disk.make_room(engine, needed).await;
            let free = look()?;
            if free < needed {
                let message = format!(
                    "the node has {} MiB of free disk; {} MiB are needed",
                    free >> 20,
                    needed >> 20
                );
                return Err(failure(FailureReason::DiskFull, step, message));
            }
            Ok(())
        })
        .await
}

/// Failures that another configuration would not have: the default image may still work.
fn is_the_repositorys_own(reason: FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::ConfigInvalid | FailureReason::BuildFailed | FailureReason::ContainerFailed
    )
}

fn failure(reason: FailureReason, step: PipelineStep, message: impl ToString) -> Failure {
    child_failure(reason, step, message, String::new())
}

fn child_failure(
    reason: FailureReason,
    step: PipelineStep,
    message: impl ToString,
    output_tail: String,
) -> Failure {
    Failure {
        reason: reason.into(),
        message: message.to_string(),
        output_tail: output_tail
            .lines()
            .map(without_escapes)
            .collect::<Vec<_>>()
            .join("\n"),
        step: step.into(),
    }
}
