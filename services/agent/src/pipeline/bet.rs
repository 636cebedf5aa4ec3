use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::BoxFuture;
use hearth_api::v1::TransferDirection;
use hearth_layers::{Transfer, TransferError};

use super::{Context, image::pull};
use crate::disk::ImageUse;

/// The newest image of the repository, fetched while the clone is made, on the bet that the key will match.
///
/// The fetch moves on only while [`Bet::beside`] or [`Bet::won`] is awaited. Whatever becomes of it is no failure.
pub struct Bet<'a> {
    image: String,
    fetch: Option<BoxFuture<'a, Arrival>>,
    arrival: Option<Arrival>,
    /// The fetch began: the image was not there before.
    began: Arc<AtomicBool>,
    /// Nobody hears of a fetch that is not used.
    told: Arc<AtomicBool>,
    in_use: Option<ImageUse>,
}

/// How many bytes the fetch took, or how it failed; `None` when the engine had the image before.
type Arrival = Option<Result<u64, TransferError>>;

impl<'a> Bet<'a> {
    /// Gets ready to fetch the newest image, if there is one that the attempt may use.
    pub fn place(cx: &'a Context<'_>) -> Self {
        let began = Arc::new(AtomicBool::new(false));
        let told = Arc::new(AtomicBool::new(false));
        let image = cx
            .job
            .cache
            .as_ref()
            .ok()
            .filter(|_| !cx.job.spec.lightweight)
            .and_then(|cache| {
                let digest = cache.newest_digest.as_ref()?;
                Some(format!("{}@{digest}", cache.reference.repository()))
            });
        let fetch = image.clone().map(|image| {
            let (began, told) = (began.clone(), told.clone());
            let fetch: BoxFuture<'a, Arrival> = Box::pin(async move {
                let engine = &cx.parties.engine;
                // An engine that does not answer now is asked by the step that needs it.
                if !matches!(engine.image(&image).await, Ok(None)) {
                    return None;
                }
                began.store(true, Ordering::Relaxed);
                let tell = cx.recorder.transfer(TransferDirection::Fetch);
                let progress = |transfer: Transfer| {
                    if told.load(Ordering::Relaxed) {
                        tell(transfer);
                    }
                };
                Some(pull(cx, &image, &progress).await)
            });
            fetch
        });
        Self {
            in_use: image.as_ref().map(|image| cx.node.images.enter(image)),
            image: image.unwrap_or_default(),
            fetch,
            arrival: None,
            began,
            told,
        }
    }

    /// Does `work`, and fetches beside it.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Some(fetch) = &mut self.fetch {
            let arrival = tokio::select! {
                biased;
                done = &mut work => return done,
                arrival = fetch => arrival,
            };
            self.fetch = None;
            self.arrival = Some(arrival);
        }
        work.await
    }

    /// Whether `image` is the one that the bet is on.
    pub fn is_on(&self, image: &str) -> bool {
        self.image == image && (self.fetch.is_some() || self.arrival.is_some())
    }

    /// The bet is won: waits for what is left of the fetch. `None` when there was nothing to fetch.
    pub async fn won(&mut self) -> Arrival {
        self.told.store(true, Ordering::Relaxed);
        if let Some(fetch) = self.fetch.take() {
            self.arrival = Some(fetch.await);
        }
        self.in_use = None;
        self.arrival.take().flatten()
    }

    /// The bet is lost, or there was none: stops the fetch and removes what came of it, unless somebody else uses it.
    pub async fn call_off(&mut self, cx: &Context<'_>) {
        self.fetch = None;
        self.arrival = None;
        let Some(in_use) = self.in_use.take() else {
            return;
        };
        if !self.began.load(Ordering::Relaxed) || !in_use.is_the_only_one() {
            return;
        }
        let removed = cx.parties.engine.remove_image(&self.image).await;
        if let Err(error) = removed {
            tracing::info!(
                image = self.image,
                "an image that was fetched for nothing stays: {error}"
            );
        }
    }
}

#[cfg(test)]
#[path = "bet_tests.rs"]
mod tests;
