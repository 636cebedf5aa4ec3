mod build;
mod fetch;
mod outcome;
mod progress;
mod used;

use hearth_api::v1::{CacheReport, CacheResult, CacheSkipReason, Failure, ImageStore};

use super::{
    context::{Checkout, Context},
    key::Key,
    prefetch::Prefetch,
    push::{PushPlan, Upload, sources_to_export},
    resolve::{Lookup, resolve},
    sources::limit_sources,
    up::Up,
};
use crate::{
    devcontainer::{Base, DevcontainerConfig},
    external::engine::volume_name,
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

/// Fetches the image, or builds it. A hit that cannot be fetched is built, so only a build can fail.
pub async fn obtain(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    key: Key,
    lookup: Lookup,
    prefetch: &mut Prefetch<'_>,
    up: &mut Up<'_>,
) -> Result<Image, Failure> {
    let mut lookup = lookup;
    let mut reasons = Vec::new();
    let mut has_entry = lookup.has_entry();
    while let Some(hit) = lookup.hit.take() {
        let fetched = up.alongside(Box::pin(fetch(cx, &hit, prefetch))).await;
        if fetched.is_err() {
            up.put_off();
        }
        match fetched {
            Ok(mut image) => {
                image.report.reasons.extend(lookup.reasons);
                image.report.reasons.extend(reasons);
                return Ok(image);
            }
            // Its entry was dropped. Asking again before a build makes sure that one attempt builds and others wait.
            Err(Unfetched::Gone(reason)) if reasons.is_empty() => {
                reasons.push(reason);
                lookup = resolve(cx, clone, &key).await;
                has_entry = lookup.has_entry();
            }
            Err(Unfetched::Gone(reason)) => reasons.push(reason),
            // Another error of the registry would come again.
            Err(Unfetched::Failed(reason)) => {
                reasons.push(reason);
                has_entry = true;
            }
        }
    }
    reasons.extend(lookup.reasons);
    // Before the build, which needs network and disk for itself.
    prefetch.cancel(cx).await;
    reasons.extend(key.reasons);
    // With the digests of the base images, which the key has found out.
    limit_sources(cx).await?;
    // A name of the attempt's own: no other one can give it to another image.
    let name = format!(
        "{}:{}",
        volume_name(&cx.job.attempt.workspace),
        cx.job.attempt.number
    );
    // Before the build: the image must not be removed from the moment it has its name.
    let in_use = cx.node.images.enter(&name);
    let manifest = key.manifest.as_ref().ok();
    let building = build(cx, clone, config, &name, manifest, &mut reasons);
    let building = cx.recorder.step(STEP, "builds the image", building);
    let will_be_pushed = manifest.is_some() && !has_entry && cx.may_write(clone);
    // No hook changes the clone while the image is built.
    let (built, sources) = tokio::join!(building, sources_to_export(cx, clone, will_be_pushed));
    let built = built?;
    let disk = &cx.node.disk;
    disk.used(cx.externals.engine.as_ref(), &name).await;
    let skip_reason = match &cx.job.cache {
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
            cx.recorder
                .warn(format!("the image is not entered into the cache: {why}"));
            Err(why)
        }
        None => key.manifest,
    };
    let may_write = cx.may_write(clone);
    let push = PushPlan::after_build(
        cx,
        manifest,
        &report,
        may_write,
        has_entry,
        |cache, manifest| Upload {
            entry: cache.reference.entry(&cx.node.platform, manifest.key()),
            image: name.clone(),
            image_id: built.image_id,
            manifest,
            build_seconds: built.seconds,
            commit: clone.commit.clone(),
            entering: lookup.entering,
            is_newest: cx.is_newest(clone),
            config: config.clone(),
            sources,
            cache_generation: built.cache_generation,
            _in_use: cx.node.images.enter(&name),
        },
    );
    Ok(Image {
        in_use,
        name,
        report,
        push,
        hit: None,
    })
}
