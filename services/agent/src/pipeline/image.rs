mod build;
mod fetch;
mod outcome;
mod progress;
mod used;

use hearth_api::v1::{
    CacheReport, CacheResult, CacheSkipReason, Failure, ImageStore, TransferDirection,
};
use hearth_domain::KeyedManifest;

use super::{
    context::{Checkout, Context},
    job::CacheUse,
    key::Key,
    prefetch::Prefetch,
    push::{PushPlan, Upload, sources_to_export},
    rebuild::KeptSources,
    resolve::{Lookup, resolve},
    sources::limit_sources,
    subject::Subject,
    up::Up,
};
use crate::{
    devcontainer::{Base, DevcontainerConfig},
    external::engine::OnTransfer,
    key::KeyError,
};
use build::build;
use fetch::{Unfetched, fetch};
use outcome::STEP;

pub use fetch::{fetch_default, fetch_unchanged};
pub use outcome::{Image, skipped};

/// The image of a configuration that is used as it is, and why nothing is cached.
pub fn unchanged(config: &DevcontainerConfig) -> Option<(&str, String)> {
    let recipe = config.recipe()?;
    let image = recipe.unchanged_image()?;
    let why = if is_on_default(config) {
        KeyError::NoImage.to_string()
    } else {
        format!("the configuration uses {image} as it is")
    };
    Some((image, why))
}

/// Whether the configuration names no image of its own.
fn is_on_default(config: &DevcontainerConfig) -> bool {
    let recipe = config.recipe();
    recipe.is_some_and(|recipe| matches!(recipe.base, Base::Default(_)))
}

/// What an image is made of.
pub struct Making<'a> {
    /// The clone.
    pub clone: &'a Checkout,
    /// The configuration of the image.
    pub config: &'a DevcontainerConfig,
    /// Which image it is.
    pub subject: &'a Subject,
    /// The copy of the clone for builds in the background.
    pub kept: &'a KeptSources,
}

/// Fetches the image, or builds it. A hit that cannot be fetched is built, so only a build can fail.
pub async fn obtain(
    cx: &Context<'_>,
    making: &Making<'_>,
    key: Key,
    lookup: Lookup,
    prefetch: &mut Prefetch<'_>,
    up: &mut Up<'_>,
) -> Result<Image, Failure> {
    let mut lookup = lookup;
    if lookup.hit.is_some() {
        let progress = cx.recorder.transfer(TransferDirection::Fetch);
        let fetched = fetch_hit(cx, making, &key, &mut lookup, prefetch, &progress);
        if let Some(image) = up.alongside(Box::pin(fetched)).await {
            return Ok(image);
        }
        up.put_off();
    }
    // Before the build, which needs network and disk for itself.
    prefetch.cancel(cx).await;
    // With the digests of the base images, which the key has found out.
    limit_sources(cx).await?;
    make(cx, making, key, lookup).await
}

/// Fetches the image of a hit. `None`: it is to be built, for the reasons that are in `lookup` afterwards.
pub async fn fetch_hit(
    cx: &Context<'_>,
    making: &Making<'_>,
    key: &Key,
    lookup: &mut Lookup,
    prefetch: &mut Prefetch<'_>,
    progress: OnTransfer<'_>,
) -> Option<Image> {
    let subject = making.subject;
    let mut reasons = Vec::new();
    while let Some(hit) = lookup.hit.take() {
        match Box::pin(fetch(cx, &hit, subject, prefetch, progress)).await {
            Ok(mut image) => {
                image.report.reasons.append(&mut lookup.reasons);
                image.report.reasons.extend(reasons);
                return Some(image);
            }
            // Its entry was dropped. Asking again before a build makes sure that one attempt builds and others wait.
            Err(Unfetched::Gone(reason)) if reasons.is_empty() => {
                reasons.push(reason);
                *lookup = resolve(cx, making.clone, key, subject).await;
            }
            Err(Unfetched::Gone(reason)) => reasons.push(reason),
            // Another error of the registry would come again.
            Err(Unfetched::Failed(reason)) => {
                reasons.push(reason);
                lookup.unfetched = true;
            }
        }
    }
    reasons.append(&mut lookup.reasons);
    lookup.reasons = reasons;
    None
}

/// Builds the image.
pub async fn make(
    cx: &Context<'_>,
    making: &Making<'_>,
    key: Key,
    lookup: Lookup,
) -> Result<Image, Failure> {
    let Making {
        clone,
        config,
        subject,
        kept,
    } = *making;
    let has_entry = lookup.has_entry();
    let mut reasons = lookup.reasons;
    reasons.extend(key.reasons);
    let name = subject.image_name(cx);
    // Before the build: the image must not be removed from the moment it has its name.
    let in_use = cx.node.images.enter(&name);
    let manifest = key.manifest.as_ref().ok();
    let building = build(cx, clone, config, subject, manifest, &mut reasons);
    let building = subject.step(cx, STEP, "builds the image".to_owned(), building);
    let will_be_pushed = manifest.is_some() && !has_entry && cx.may_write(clone);
    // No hook changes the clone while the image is built.
    let sources = sources_to_export(cx, clone, will_be_pushed, kept);
    let (built, sources) = tokio::join!(building, sources);
    let built = built?;
    let disk = &cx.node.disk;
    disk.used(cx.externals.engine.as_ref(), &name).await;
    let cache = subject.cache(cx);
    let skip_reason = match &cache {
        Err(reason) => Some(*reason),
        Ok(_) if is_on_default(config) => Some(CacheSkipReason::NotEligible),
        Ok(_) => lookup.fetch_is_slower.then_some(CacheSkipReason::Slower),
    };
    let report = CacheReport {
        result: match (skip_reason, built.counts.reused) {
            (Some(_), _) => CacheResult::Skipped,
            (None, 0) => CacheResult::Miss,
            (None, _) => CacheResult::Partial,
        }
        .into(),
        skip_reason: skip_reason.unwrap_or_default().into(),
        reasons,
        steps_total: built.counts.total,
        steps_reused: built.counts.reused,
        seconds: built.seconds,
        key: key
            .manifest
            .as_ref()
            .map(|manifest| manifest.key().to_string())
            .unwrap_or_default(),
        image_digest: if cx.node.store == ImageStore::Containerd {
            built.image_id.clone()
        } else {
            String::new()
        },
        ..CacheReport::default()
    };
    let manifest = match built.beside_the_key {
        Some(why) => {
            let told = subject.about(format!("the image is not entered into the cache: {why}"));
            cx.recorder.warn(told);
            Err(why)
        }
        None => key.manifest,
    };
    let may_write = cx.may_write(clone);
    let upload = |cache: &CacheUse, manifest: KeyedManifest| Upload {
        entry: cache.reference.entry(&cx.node.platform, manifest.key()),
        image: name.clone(),
        image_id: built.image_id,
        manifest,
        build_seconds: built.seconds,
        commit: clone.commit.clone(),
        entering: lookup.entering,
        is_newest: cx.is_newest(clone),
        subject: subject.clone(),
        config: config.clone(),
        sources,
        cache_generation: built.cache_generation,
        _in_use: cx.node.images.enter(&name),
    };
    let push = PushPlan::after_build(cx, cache, manifest, &report, may_write, has_entry, upload);
    Ok(Image {
        in_use,
        name,
        report,
        push,
        hit: None,
    })
}
