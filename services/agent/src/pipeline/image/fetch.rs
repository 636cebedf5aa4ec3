use std::time::Instant;

use hearth_api::v1::{
    CacheReport, CacheResult, CacheSkipReason, Failure, FailureReason, TransferDirection,
};
use hearth_layers::TransferError;

use super::outcome::{Image, STEP, skipped};
use crate::{
    external::{control_plane::Dropped, engine::OnTransfer},
    pipeline::{
        context::Context, failure::failure, prefetch::Prefetch, pull::pull, push::PushPlan,
        resolve::Hit, subject::Subject,
    },
};

/// Fetches the default image, and returns its name.
pub async fn fetch_default(cx: &Context<'_>) -> Result<String, Failure> {
    let image = cx.default_image().to_owned();
    cx.recorder
        .step(
            STEP,
            format!("fetches the default image {image}"),
            ensure(cx, &image),
        )
        .await
        .map(|_| image)
}

/// Fetches an image to which a configuration adds nothing: there is nothing to cache, and `why` says so.
pub async fn fetch_unchanged(cx: &Context<'_>, image: &str, why: String) -> Result<Image, Failure> {
    let began = Instant::now();
    let in_use = cx.node.images.enter(image);
    let bytes_fetched = cx
        .recorder
        .step(STEP, format!("fetches {image}"), ensure(cx, image))
        .await?;
    Ok(Image {
        in_use,
        name: image.to_owned(),
        report: CacheReport {
            reasons: vec![why.clone()],
            bytes_fetched,
            seconds: began.elapsed().as_secs_f64(),
            ..skipped(CacheSkipReason::NotEligible)
        },
        push: PushPlan::not_eligible(&why),
        hit: None,
    })
}

/// Fetches an image if the engine does not have it; returns the bytes that were fetched.
async fn ensure(cx: &Context<'_>, image: &str) -> Result<u64, Failure> {
    let progress = cx.recorder.transfer(TransferDirection::Fetch);
    let pulled = pull(cx, image, None, &progress).await;
    pulled.map(|fetched| fetched.bytes).map_err(|error| {
        failure(
            FailureReason::BuildFailed,
            STEP,
            format!("{image} cannot be fetched: {error}"),
        )
    })
}

/// Why the image of a hit was not fetched, in a sentence.
pub(super) enum Unfetched {
    /// The registry does not have it, and its entry is dropped.
    Gone(String),
    /// Anything else: the entry stays.
    Failed(String),
}

/// Fetches the image of a hit by its digest. An image that is gone from the registry is reported to the index.
pub(super) async fn fetch(
    cx: &Context<'_>,
    hit: &Hit,
    subject: &Subject,
    prefetch: &mut Prefetch<'_>,
    progress: OnTransfer<'_>,
) -> Result<Image, Unfetched> {
    let name = hit.repository.image(&hit.digest);
    let in_use = cx.node.images.enter(&name);
    let began = Instant::now();
    let mut reasons = vec!["an image built from the same inputs is in the registry".to_owned()];
    let fetched = subject
        .step(cx, STEP, format!("fetches {name}"), async {
            if prefetch.is_for(&name)
                && let Some(fetched) = prefetch.finish().await
            {
                reasons.push("its fetch began while the clone was made".to_owned());
                return fetched;
            }
            // It fetches another image, or found that the engine has this one.
            prefetch.cancel(cx).await;
            let of_cache = (&hit.repository, &hit.digest);
            pull(cx, &name, Some(of_cache), progress).await
        })
        .await;
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            let reason = format!("the image for this key could not be fetched: {error}");
            if !matches!(error, TransferError::NotFound(_)) {
                return Err(Unfetched::Failed(reason));
            }
            let dropped = cx
                .externals
                .index
                .drop_entry(
                    &cx.job.attempt,
                    &hit.repository,
                    &hit.key,
                    &hit.digest,
                    Dropped::Missing,
                )
                .await;
            return Err(match dropped {
                Ok(()) => Unfetched::Gone(reason),
                Err(error) => {
                    cx.recorder.warn(format!(
                        "the entry of an image that could not be found was not dropped: {error}"
                    ));
                    Unfetched::Failed(reason)
                }
            });
        }
    };
    let disk = &cx.node.disk;
    disk.used(cx.externals.engine.as_ref(), &name).await;
    Ok(Image {
        name,
        report: CacheReport {
            result: CacheResult::Exact.into(),
            reasons,
            bytes_fetched: fetched.bytes,
            // What had to be fetched twice counts once.
            bytes_from_neighbours: fetched.from.neighbours.min(fetched.bytes),
            bytes_from_mirror: fetched.from.mirror.min(fetched.bytes),
            seconds: began.elapsed().as_secs_f64(),
            key: hit.key.to_string(),
            image_digest: hit.digest.to_string(),
            ..CacheReport::default()
        },
        push: PushPlan::unchanged(&hit.digest),
        hit: Some(hit.clone()),
        in_use,
    })
}
