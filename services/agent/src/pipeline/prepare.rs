use hearth_api::v1::{
    CacheReport, CacheSkipReason, Failure, FailureReason, PipelineStep, WorkspaceState, event::Kind,
};
use hearth_runtime::blocking;

use super::{
    clone::clone,
    container::{self, Devcontainer},
    context::{Checkout, Context},
    failure::failure,
    image::{self, Image, skipped},
    initialize::initialize,
    key,
    prefetch::Prefetch,
    push::PushPlan,
    recovery_note::leave_note,
    resolve,
};
use crate::devcontainer::{self, ConfigError, DevcontainerConfig, Found, Place, Source};

/// A workspace that can be used, and the push that is left to do.
#[derive(Debug)]
pub struct Ready {
    /// READY or RECOVERY.
    pub state: WorkspaceState,
    /// Why it is in RECOVERY.
    pub failure: Option<Failure>,
    /// What to push.
    pub push: PushPlan,
}

/// Prepares the workspace.
pub async fn prepare(cx: &Context<'_>) -> Result<Ready, Failure> {
    validate(cx).await?;
    let mut prefetch = Prefetch::start(cx);
    let ready = prepare_with(cx, &mut prefetch).await;
    prefetch.cancel(cx).await;
    ready
}

async fn prepare_with(cx: &Context<'_>, prefetch: &mut Prefetch<'_>) -> Result<Ready, Failure> {
    let clone = prefetch.alongside(clone(cx)).await?;
    if cx.job.spec.lightweight {
        return default_image(cx, &clone, CacheSkipReason::Lightweight, Vec::new()).await;
    }
    let (folder, name) = (clone.folder.clone(), cx.job.spec.config.clone());
    let default_image_name = cx.node.default_image.clone();
    let found = blocking(move || {
        let place = Place {
            clone: &folder,
            default_image: &default_image_name,
        };
        devcontainer::find(place, name.as_ref())
    })
    .await;
    if !matches!(found, Ok(Found::Config(_))) {
        prefetch.cancel(cx).await;
    }
    let config = match found {
        Ok(Found::Config(config)) => config,
        Ok(Found::NoDefault(named)) => {
            let reason = CacheSkipReason::NoDevcontainer;
            return default_image(cx, &clone, reason, named_ones(&named)).await;
        }
        Err(error @ ConfigError::NotFound { .. }) => {
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
    if let Some(fault) = &config.repaired {
        cx.recorder.warn(format!(
            "{}, {fault}; it is read as the devcontainer CLI reads it",
            config.path.display()
        ));
    }
    match repository_devcontainer(cx, &clone, &config, prefetch).await {
        Err(failure) if is_recoverable(failure.reason()) => recover(cx, &clone, failure).await,
        result => result,
    }
}

/// Starts the repository's own devcontainer, with an image from the cache or a build.
async fn repository_devcontainer(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    prefetch: &mut Prefetch<'_>,
) -> Result<Ready, Failure> {
    // Before the key: the image may be built from files that it makes.
    prefetch.alongside(initialize(cx, clone, config)).await?;
    let (devcontainer, push, _in_use) = match config.source {
        Source::Compose(_) => {
            prefetch.cancel(cx).await;
            cx.recorder
                .note(Kind::Cache(skipped(CacheSkipReason::Compose)));
            (
                Devcontainer::Compose,
                PushPlan::not_eligible("Docker Compose projects are not cached"),
                None,
            )
        }
        Source::Recipe(_) => {
            let (key, lookup) = prefetch
                .alongside(async {
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
            } = image::obtain(cx, clone, config, key, lookup, prefetch).await?;
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

/// Starts the default image with the clone in it. The cache is not used.
async fn default_image(
    cx: &Context<'_>,
    clone: &Checkout,
    reason: CacheSkipReason,
    reasons: Vec<String>,
) -> Result<Ready, Failure> {
    let name = image::fetch_default(cx).await?;
    cx.recorder.note(Kind::Cache(CacheReport {
        reasons,
        ..skipped(reason)
    }));
    container::start(cx, clone, None, &Devcontainer::Image(name)).await?;
    Ok(Ready {
        state: WorkspaceState::Ready,
        failure: None,
        push: PushPlan::skipped(reason),
    })
}

/// Starts the default image in place of a devcontainer that fails, so that it can be repaired in the workspace.
async fn recover(cx: &Context<'_>, clone: &Checkout, failure: Failure) -> Result<Ready, Failure> {
    cx.recorder.warn(format!(
        "the repository's own devcontainer failed, the default image takes its place: {}",
        failure.message
    ));
    leave_note(&clone.volume, &failure).await;
    match default_image(cx, clone, CacheSkipReason::Fallback, Vec::new()).await {
        Ok(ready) => Ok(Ready {
            state: WorkspaceState::Recovery,
            failure: Some(failure),
            ..ready
        }),
        // The first failure is the cause.
        Err(second) => {
            cx.recorder
                .warn(format!("the default image failed too: {}", second.message));
            Err(failure)
        }
    }
}

/// How to ask for the configurations of a repository that has no default one.
fn named_ones(named: &[String]) -> Vec<String> {
    let Some(first) = named.first() else {
        return Vec::new();
    };
    let has = match named {
        [_] => format!("the configuration {first}"),
        _ => format!("the configurations {}", named.join(", ")),
    };
    vec![format!(
        "the repository has no default configuration, but {has}: ask for one with --config {first}"
    )]
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
                        format!(
                            "the free space of the engine's data folder cannot be read: {error}"
                        ),
                    )
                })
            };
            if look()? >= needed {
                return Ok(());
            }
            // Images that nothing uses do not keep a node from working.
            let engine = cx.externals.engine.as_ref();
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

/// Whether the repository's configuration is the cause, so that the default image may still work.
fn is_recoverable(reason: FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::ConfigInvalid
            | FailureReason::HookFailed
            | FailureReason::BuildFailed
            | FailureReason::ContainerFailed
    )
}
