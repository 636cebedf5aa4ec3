use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hearth_api::v1::TransferDirection;
use hearth_layers::{Transfer, TransferError};

use super::{
    beside::Beside,
    context::Context,
    pull::{Fetched, pull},
};
use crate::disk::ImageUse;

/// A fetch of the repository's newest image that runs while the clone is made: often that image has the attempt's key.
///
/// The fetch makes progress only while [`Prefetch::alongside`] or [`Prefetch::finish`] is awaited. It cannot fail the
/// attempt.
///
/// It is a bet on a digest that nothing proves yet: the image is used only if it is that of the hit that the index answers
/// with afterwards, and is removed otherwise.
pub struct Prefetch<'a> {
    image: String,
    fetch: Beside<'a, Arrival>,
    /// The fetch has started: the engine did not have the image.
    started: Arc<AtomicBool>,
    /// Whether the log shows its progress: only once the image is known to be used.
    visible: Arc<AtomicBool>,
    in_use: Option<ImageUse>,
}

/// What was fetched, or how that failed; `None` when the engine had the image before.
type Arrival = Option<Result<Fetched, TransferError>>;

impl<'a> Prefetch<'a> {
    /// Prepares the fetch of the newest image, if there is one that the attempt may use.
    pub fn start(cx: &'a Context<'_>) -> Self {
        let started = Arc::new(AtomicBool::new(false));
        let visible = Arc::new(AtomicBool::new(false));
        let newest = cx
            .job
            .cache
            .as_ref()
            .ok()
            .filter(|_| !cx.job.spec.lightweight)
            .and_then(|cache| {
                let digest = cache.newest_digest.as_ref()?;
                Some((cache.reference.repository(), digest))
            });
        let image = newest.map(|(repository, digest)| repository.image(digest));
        let fetch = image.clone().map(|image| {
            let (started, visible) = (started.clone(), visible.clone());
            Beside::new(async move {
                let engine = &cx.externals.engine;
                // If the engine does not answer now, the step that needs the image reports it.
                if !matches!(engine.image(&image).await, Ok(None)) {
                    return None;
                }
                started.store(true, Ordering::Relaxed);
                let report = cx.recorder.transfer(TransferDirection::Fetch);
                let progress = |transfer: Transfer| {
                    if visible.load(Ordering::Relaxed) {
                        report(transfer);
                    }
                };
                Some(pull(cx, &image, newest, &progress).await)
            })
        });
        Self {
            in_use: image.as_ref().map(|image| cx.node.images.enter(image)),
            image: image.unwrap_or_default(),
            fetch: fetch.unwrap_or_default(),
            started,
            visible,
        }
    }

    /// Runs `work`, and the fetch at the same time.
    pub async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.fetch.alongside(work).await
    }

    /// Whether it fetches `image`.
    pub fn is_for(&self, image: &str) -> bool {
        self.image == image && self.fetch.is_there()
    }

    /// Waits for the rest of the fetch; its image is used. `None` when there was nothing to fetch.
    pub async fn finish(&mut self) -> Arrival {
        self.visible.store(true, Ordering::Relaxed);
        let arrival = self.fetch.finish().await;
        self.in_use = None;
        arrival.flatten()
    }

    /// Stops the fetch, if it still runs, and removes its image unless another attempt uses it. Does nothing after
    /// [`Prefetch::finish`].
    pub async fn cancel(&mut self, cx: &Context<'_>) {
        self.fetch.cancel();
        let Some(in_use) = self.in_use.take() else {
            return;
        };
        if !self.started.load(Ordering::Relaxed) || !in_use.is_exclusive() {
            return;
        }
        let removed = cx.externals.engine.remove_image(&self.image).await;
        if let Err(error) = removed {
            tracing::info!(
                image = self.image,
                "a prefetched image that is not used could not be removed: {error}"
            );
        }
    }
}

#[cfg(test)]
#[path = "prefetch_tests.rs"]
mod tests;
