use hearth_api::v1::{CacheSkipReason, Failure, FailureReason, PipelineStep, event::Kind};
use hearth_runtime::blocking;

use super::{
    audit,
    clone::clone,
    compose,
    container::Devcontainer,
    context::{Checkout, Context},
    diagnosis::{diagnosed, disk_runs_out},
    failure::failure,
    image::{self, Image, Making},
    initialize::initialize,
    kept_clone::kept_clone,
    key,
    prefetch::Prefetch,
    push,
    rebuild::KeptSources,
    recovery::{default_image, recover},
    resolve,
    subject::Subject,
    up::Up,
    usable::{Background, Usable, start},
    validate::validate,
};
use crate::devcontainer::{
    self, BuildGrant, ConfigError, DevcontainerConfig, Found, Place, Source,
};

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
    let clone = prefetch.alongside(async {
        match kept_clone(cx).await? {
            Some(kept) => Ok(kept),
            None => {
                cx.make_clone();
                clone(cx).await
            }
        }
    });
    let clone = cx.within_limit(clone).await?;
    if cx.job.spec.lightweight {
        let reason = CacheSkipReason::Lightweight;
        return default_image(cx, &clone, reason, Vec::new(), None, background).await;
    }
    let (folder, name) = (clone.folder.clone(), cx.job.spec.config.clone());
    let default_image_name = cx.default_image().to_owned();
    let found = blocking(move || {
        let place = Place {
            clone: &folder,
            default_image: &default_image_name,
        };
        devcontainer::find(place, name.as_ref())
    });
    let found = cx.within_limit(async { Ok(found.await) }).await?;
    if !matches!(found, Ok(Found::Config(_) | Found::Only(..))) {
        prefetch.cancel(cx).await;
    }
    let mut reasons = Vec::new();
    let mut config = match found {
        Ok(Found::Config(config)) => config,
        Ok(Found::Only(config, name)) => {
            let why = format!(
                "the repository has no default configuration: its only other one, {name}, is used"
            );
            cx.recorder.warn(why.as_str());
            reasons.push(why);
            config
        }
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
            return recover(cx, &clone, None, failure, background).await;
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
        cx, &clone, &config, reasons, prefetch, background,
    ));
    match own.await {
        Err(failure) => {
            let recovery = recover(cx, &clone, Some(&config), failure, background);
            Box::pin(recovery).await
        }
        ready => ready,
    }
}

/// Starts the repository's own devcontainer, with an image from the cache or a build.
async fn repository_devcontainer<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    reasons: Vec<String>,
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
        let mut report = made.report;
        report.reasons.extend(reasons);
        cx.recorder.note(Kind::Cache(report));
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
        mut report,
        push,
        hit,
        in_use: _in_use,
    } = image;
    report.reasons.extend(reasons);
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
