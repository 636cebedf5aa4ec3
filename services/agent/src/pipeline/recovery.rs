use hearth_api::v1::{CacheReport, CacheSkipReason, Failure, FailureReason, event::Kind};
use hearth_domain::Fallback;

use super::{
    container::Devcontainer,
    context::{Checkout, Context},
    diagnosis::diagnosed,
    image::{self, skipped},
    last_good::{LastGood, last_good},
    push::{self, PushPlan},
    up::Up,
    usable::{Background, Usable, start},
};
use crate::devcontainer::DevcontainerConfig;

/// Starts the default image with the clone in it. The cache is not used.
pub async fn default_image<'a>(
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

/// What becomes of a workspace whose own devcontainer fails: what its request says, if the configuration is the cause.
/// `config` is there if it can be read.
pub async fn recover<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    failed: Failure,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    let mut failed = diagnosed(cx, failed).await;
    if !is_recoverable(failed.reason()) || cx.job.spec.fallback == Fallback::None {
        return Err(failed);
    }
    clear(cx).await;
    background.recovered = true;
    if cx.job.spec.fallback == Fallback::LastGood {
        match last_good(cx, config).await {
            Ok(image) => {
                match on_last_good(cx, clone, config, image, &mut failed, background).await {
                    Ok(()) => return Ok(Usable::Recovery(failed)),
                    Err(second) => {
                        let why = format!("the last good image failed too: {}", second.message);
                        cx.recorder.warn(why);
                        clear(cx).await;
                    }
                }
            }
            Err(why) => cx
                .recorder
                .warn(format!("there is no last good image: {why}")),
        }
    }
    cx.recorder.warn(format!(
        "the repository's own devcontainer failed, the default image takes its place: {}",
        failed.message
    ));
    let reason = CacheSkipReason::Fallback;
    let started = default_image(cx, clone, reason, Vec::new(), Some(&failed), background).await;
    match started {
        Ok(_) => Ok(Usable::Recovery(failed)),
        // The first failure is the cause.
        Err(second) => {
            cx.recorder
                .warn(format!("the default image failed too: {}", second.message));
            Err(failed)
        }
    }
}

/// Starts the container that the configuration asks for on an image that worked before, and says so in the failure.
async fn on_last_good<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    image: LastGood,
    failed: &mut Failure,
    background: &mut Background<'a>,
) -> Result<(), Failure> {
    cx.recorder.warn(format!(
        "the repository's own devcontainer failed, {} takes its place: {}",
        image.described, failed.message
    ));
    let mut up = Up::of(cx, clone, config).await?;
    let fetch = Box::pin(up.alongside(image.fetch(cx)));
    let fetch = background.push.alongside(fetch);
    let bytes_fetched = cx.within_limit(fetch).await?;
    let described = image.described;
    if !background.push.is_there() {
        let reason = CacheSkipReason::Fallback;
        cx.recorder.note(Kind::Cache(CacheReport {
            reasons: vec![format!("{described} runs in place of the repository's own")],
            bytes_fetched,
            image_digest: image.digest.to_string(),
            ..skipped(reason)
        }));
        background.push = push::begin(cx, PushPlan::skipped(reason));
    }
    let note = Failure {
        message: format!("{}; {described} runs instead", failed.message),
        ..failed.clone()
    };
    let from = Devcontainer::Image(image.name);
    start(cx, clone, config, &from, up, Some(&note), background).await?;
    *failed = note;
    Ok(())
}

/// Removes what the try has made in the engine, but for its clone. Its image may still be pushed: [`after_recovery`].
async fn clear(cx: &Context<'_>) {
    let engine = &cx.externals.engine;
    let cleared = engine
        .clear_workspace(&cx.job.attempt.workspace, false)
        .await;
    if let Err(error) = cleared {
        cx.recorder.warn(format!(
            "{error}: something of what failed stays until the workspace is removed"
        ));
    }
}

/// Removes the images that a try has made whose devcontainer failed, when they are not pushed any more.
pub async fn after_recovery(cx: &Context<'_>) {
    let engine = &cx.externals.engine;
    if let Err(error) = engine.remove_images(&cx.job.attempt.workspace).await {
        tracing::warn!(workspace.id = %cx.job.attempt.workspace, "{error}");
    }
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
