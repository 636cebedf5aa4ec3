use std::time::Duration;

use hearth_api::v1::{
    CacheReport, CacheSkipReason, Failure, FailureReason, PipelineStep, event::Kind,
};
use hearth_runtime::blocking;

use super::{
    audit,
    beside::Beside,
    clone::clone,
    compose,
    container::{self, Devcontainer, Running},
    context::{Checkout, Context},
    diagnosis::{diagnosed, disk_runs_out},
    failure::failure,
    image::{self, Image, Making, skipped},
    initialize::initialize,
    key,
    prefetch::Prefetch,
    push::{self, PushPlan},
    rebuild::KeptSources,
    recovery_note::leave_note,
    resolve,
    subject::Subject,
    up::Up,
};
use crate::devcontainer::{
    self, BuildGrant, ConfigError, DevcontainerConfig, Found, Place, Source,
};

/// How often room is made on the disk, and the time between, before an attempt is refused.
const MAKING_ROOM: u32 = 5;
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// A workspace that can be used.
#[derive(Debug)]
pub enum Usable {
    /// As the configuration asks for it.
    Ready,
    /// To be repaired, for this reason.
    Recovery(Failure),
}

/// What goes on beside the steps and after them. None of it can fail the attempt.
#[derive(Default)]
pub struct Background<'a> {
    /// The push of the image, which begins as soon as the image is there.
    pub push: Beside<'a, ()>,
    /// The hooks that the workspace does not wait for.
    pub hooks: Beside<'a, ()>,
    /// The audit of the image, which begins when the attempt is over with its steps.
    pub audit: Beside<'a, ()>,
}

/// Prepares the workspace.
pub async fn prepare<'a>(
    cx: &'a Context<'_>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    if let Err(failure) = cx.within_limit(validate(cx)).await {
        return Err(match failure.reason() {
            FailureReason::TimedOut => diagnosed(cx, failure).await,
            _ => failure,
        });
    }
    let mut prefetch = Prefetch::start(cx);
    let ready = tokio::select! {
        ready = Box::pin(prepare_with(cx, &mut prefetch, background)) => ready,
        failure = disk_runs_out(cx) => Err(failure),
    };
    prefetch.cancel(cx).await;
    match ready {
        Err(failure) => Err(diagnosed(cx, failure).await),
        ready => ready,
    }
}

async fn prepare_with<'a>(
    cx: &'a Context<'_>,
    prefetch: &mut Prefetch<'a>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    let clone = cx.within_limit(prefetch.alongside(clone(cx))).await?;
    if cx.job.spec.lightweight {
        let reason = CacheSkipReason::Lightweight;
        return default_image(cx, &clone, reason, Vec::new(), None, background).await;
    }
    let (folder, name) = (clone.folder.clone(), cx.job.spec.config.clone());
    let default_image_name = cx.node.default_image.clone();
    let found = blocking(move || {
        let place = Place {
            clone: &folder,
            default_image: &default_image_name,
        };
        devcontainer::find(place, name.as_ref())
    });
    let found = cx.within_limit(async { Ok(found.await) }).await?;
    if !matches!(found, Ok(Found::Config(_))) {
        prefetch.cancel(cx).await;
    }
    let mut config = match found {
        Ok(Found::Config(config)) => config,
        Ok(Found::NoDefault(named)) => {
            let reason = CacheSkipReason::NoDevcontainer;
            let reasons = named_ones(&named);
            return default_image(cx, &clone, reason, reasons, None, background).await;
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
            return recover(cx, &clone, failure, background).await;
        }
    };
    if let Some(fault) = &config.repaired {
        cx.recorder.warn(format!(
            "{}, {fault}; it is read as the devcontainer CLI reads it",
            config.path.display()
        ));
    }
    for unread in &config.unread {
        cx.recorder.warn(unread.as_str());
    }
    let grant = BuildGrant {
        platform: &cx.node.platform,
        allowed: &cx.allowed,
    };
    for left_out in config.grant(&grant) {
        cx.recorder.warn(left_out.to_string());
    }
    // On the heap, as are the parts of it: all that an attempt calls has one stack.
    let own = Box::pin(repository_devcontainer(
        cx, &clone, &config, prefetch, background,
    ));
    match own.await {
        Err(failure) => match diagnosed(cx, failure).await {
            failure if is_recoverable(failure.reason()) => {
                recover(cx, &clone, failure, background).await
            }
            failure => Err(failure),
        },
        ready => ready,
    }
}

/// Starts the repository's own devcontainer, with an image from the cache or a build.
async fn repository_devcontainer<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    prefetch: &mut Prefetch<'a>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    // Before the key: the image may be built from files that it makes.
    let initialize = prefetch.alongside(initialize(cx, clone, config));
    cx.within_limit(initialize).await?;
    let mut up = Up::of(cx, clone, Some(config)).await?;
    if let Source::Compose(compose) = &config.source {
        let (plans, pushes) = push::begin_several(cx);
        background.push = pushes;
        let made = Box::pin(compose::make(cx, clone, (config, compose), prefetch, plans));
        let made = background.push.alongside(cx.within_limit(made)).await;
        // What was built is not pushed when the project does not come up by it.
        let made = made.inspect_err(|_| background.push.cancel())?;
        cx.recorder.note(Kind::Cache(made.report));
        background.audit = made.audit;
        let from = Devcontainer::Compose {
            project: made.project,
            image: made.image,
        };
        let started = start(cx, clone, Some(config), &from, up, None, background).await;
        drop(made.in_use);
        return started;
    }
    let image = Box::pin(image(cx, clone, config, prefetch, &mut up));
    let image = cx.within_limit(image).await?;
    let Image {
        name,
        report,
        push,
        hit,
        in_use: _in_use,
    } = image;
    cx.recorder.note(Kind::Cache(report));
    if let Some(hit) = hit {
        // Before a hook changes the clone.
        let (subject, kept) = (Subject::default(), KeptSources::default());
        let audit = async { Ok(audit::prepare(cx, clone, config, hit, subject, &kept).await) };
        background.audit = cx.within_limit(audit).await?;
    }
    // Others may wait for this image, and do not wait for this container.
    background.push = push::begin(cx, push);
    start(
        cx,
        clone,
        Some(config),
        &Devcontainer::Image(name),
        up,
        None,
        background,
    )
    .await
}

/// Obtains the image. The cache is asked only where there is something to build.
async fn image(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    prefetch: &mut Prefetch<'_>,
    up: &mut Up<'_>,
) -> Result<Image, Failure> {
    if let Some((image, why)) = image::unchanged(config) {
        prefetch.cancel(cx).await;
        let fetch = Box::pin(image::fetch_unchanged(cx, image, why));
        return up.alongside(fetch).await;
    }
    let (key, lookup) = prefetch
        .alongside(async {
            let key = Box::pin(key::compute(cx, clone, config)).await;
            let lookup = resolve::resolve(cx, clone, &key, &Subject::default()).await;
            (key, lookup)
        })
        .await;
    let making = Making {
        clone,
        config,
        subject: &Subject::default(),
        kept: &KeptSources::default(),
    };
    Box::pin(image::obtain(cx, &making, key, lookup, prefetch, up)).await
}

/// Starts the container while the push goes on.
async fn start<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    from: &Devcontainer,
    up: Up<'_>,
    replaces: Option<&Failure>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    let start = Box::pin(container::start(cx, clone, config, from, up));
    let Running {
        failure,
        later,
        started,
    } = background.push.alongside(start).await?;
    background.hooks = later;
    let failure = match failure {
        None => None,
        Some(failure) => match diagnosed(cx, failure).await {
            gone if gone.reason() == FailureReason::EngineFailed => return Err(gone),
            failure => Some(failure),
        },
    };
    if let Some(failure) = replaces.or(failure.as_ref()) {
        leave_note(cx, &started, failure).await;
    }
    Ok(failure.map_or(Usable::Ready, Usable::Recovery))
}

/// Starts the default image with the clone in it. The cache is not used.
async fn default_image<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    reason: CacheSkipReason,
    reasons: Vec<String>,
    replaces: Option<&Failure>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    // An image that was built before its container failed is in the cache's report, and is pushed.
    if !background.push.is_there() {
        cx.recorder.note(Kind::Cache(CacheReport {
            reasons,
            ..skipped(reason)
        }));
        background.push = push::begin(cx, PushPlan::skipped(reason));
    }
    let mut up = Up::of(cx, clone, None).await?;
    let fetch = Box::pin(up.alongside(image::fetch_default(cx)));
    let fetch = background.push.alongside(fetch);
    let name = cx.within_limit(fetch).await?;
    let from = Devcontainer::Image(name);
    start(cx, clone, None, &from, up, replaces, background).await
}

/// Starts the default image in place of a devcontainer that fails, so that it can be repaired in the workspace.
async fn recover<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    failure: Failure,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    cx.recorder.warn(format!(
        "the repository's own devcontainer failed, the default image takes its place: {}",
        failure.message
    ));
    let reason = CacheSkipReason::Fallback;
    match default_image(cx, clone, reason, Vec::new(), Some(&failure), background).await {
        Ok(_) => Ok(Usable::Recovery(failure)),
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
            if let Some(problem) = cx.node.engine.check(cx.externals.engine.as_ref()).await {
                return Err(failure(FailureReason::EngineFailed, step, problem));
            }
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
            // What a failed attempt filled is free a while after it was removed.
            for _ in 0..MAKING_ROOM {
                cx.node.disk.make_room(engine, needed).await;
                if look()? >= needed {
                    return Ok(());
                }
                tokio::time::sleep(ROOM_PAUSE).await;
            }
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
