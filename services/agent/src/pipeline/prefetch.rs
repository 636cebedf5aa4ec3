use std::{
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use hearth_api::v1::TransferDirection;
use hearth_domain::{CacheRepository, Digest};
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
#[derive(Default)]
pub struct Prefetch<'a> {
    image: String,
    fetch: Beside<'a, Arrival>,
    /// The fetch has started: the engine did not have the image.
    started: Arc<AtomicBool>,
    /// Whether the log shows its progress: only once the image is known to be used.
    visible: Arc<AtomicBool>,
    in_use: Option<ImageUse>,
    /// The same of the services of a Docker Compose project.
    others: Vec<Self>,
}

/// What was fetched, or how that failed; `None` when the engine had the image before.
type Arrival = Option<Result<Fetched, TransferError>>;

impl<'a> Prefetch<'a> {
    /// Prepares the fetch of the newest images, if there are some that the attempt may use.
    pub fn start(cx: &'a Context<'_>) -> Self {
        let cache = cx.job.cache.as_ref().ok();
        let Some(cache) = cache.filter(|_| !cx.job.spec.lightweight) else {
            return Self::default();
        };
        let repository = cache.reference.repository();
        let services = cache.newest_of_services.values();
        let own = cache.newest_digest.as_ref();
        let own = own.map(|digest| Self::of(cx, repository, digest));
        Self {
            others: services
                .map(|digest| Self::of(cx, repository, digest))
                .collect(),
            ..own.unwrap_or_default()
        }
    }

    fn of(cx: &'a Context<'_>, repository: &'a CacheRepository, digest: &'a Digest) -> Self {
        let started = Arc::new(AtomicBool::new(false));
        let visible = Arc::new(AtomicBool::new(false));
        let image = repository.image(digest);
        let fetch = {
            let (image, started, visible) = (image.clone(), started.clone(), visible.clone());
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
                Some(pull(cx, &image, Some((repository, digest)), &progress).await)
            })
        };
        Self {
            in_use: Some(cx.node.images.enter(&image)),
            image,
            fetch,
            started,
            visible,
            others: Vec::new(),
        }
    }

    /// Runs `work`, and the fetches at the same time.
    pub async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let others = self.others.iter_mut();
        let others = join_all(others.map(|other| other.fetch.alongside(pending::<()>())));
        let others = async {
            others.await;
            pending::<T>().await
        };
        tokio::select! {
            biased;
            done = self.fetch.alongside(work) => done,
            done = others => done,
        }
    }

    /// Takes the fetch of `image` out of it, if there is one.
    pub fn take(&mut self, image: &str) -> Self {
        if self.is_for(image) {
            let others = std::mem::take(&mut self.others);
            return std::mem::replace(
                self,
                Self {
                    others,
                    ..Self::default()
                },
            );
        }
        let mut others = self.others.iter();
        match others.position(|other| other.is_for(image)) {
            Some(place) => self.others.swap_remove(place),
            None => Self::default(),
        }
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

    /// Stops the fetches that still run, and removes their images unless another attempt uses them. Does nothing after
    /// [`Prefetch::finish`].
    pub async fn cancel(&mut self, cx: &Context<'_>) {
        for other in &mut std::mem::take(&mut self.others) {
            other.cancel_own(cx).await;
        }
        self.cancel_own(cx).await;
    }

    async fn cancel_own(&mut self, cx: &Context<'_>) {
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
