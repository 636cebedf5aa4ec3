//! Fetches the images for repositories that name none, before one is needed: a workspace on one of them then begins at once,
//! also as the last resort of a configuration that fails.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hearth_layers::Near;
use oci_spec::distribution::Reference;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{disk::DiskKeeper, external::engine::Engine};

/// How long a fetch may take: nothing waits for it.
const LIMIT: Duration = Duration::from_secs(1800);
/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(600);
/// Most images that the control plane may name.
const MAX_TOLD: usize = 20;

/// The images that the control plane names. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ToldImages(Arc<watch::Sender<BTreeSet<String>>>);

impl ToldImages {
    /// Takes what the control plane says.
    pub fn learn(&self, images: &[String]) {
        let images = images.iter().filter(|image| is_image(image)).take(MAX_TOLD);
        let images: BTreeSet<String> = images.cloned().collect();
        self.0.send_if_modified(|told| {
            let is_new = *told != images;
            *told = images;
            is_new
        });
    }
}

fn is_image(image: &str) -> bool {
    !image.starts_with('-') && image.parse::<Reference>().is_ok()
}

/// Fetches images in advance.
pub struct Prefetching {
    /// Fetches them.
    pub engine: Arc<dyn Engine>,
    /// Measures free disk.
    pub disk: Arc<DiskKeeper>,
    /// Free disk that is left alone, in bytes.
    pub min_free_disk_bytes: u64,
    /// The node's own image.
    pub own: String,
    /// Those of the control plane.
    pub told: ToldImages,
    /// How often it is looked whether a tag names another image; zero: nothing is fetched in advance.
    pub refresh: Duration,
}

impl Prefetching {
    /// Fetches all images one after the other, others when they are told, and all again when the time has come. Nothing depends on it:
    /// an image that is missing is fetched by the attempt that needs it.
    pub async fn run(self, stop: CancellationToken) {
        if self.refresh.is_zero() {
            return;
        }
        let mut told = self.told.0.subscribe();
        let work = async {
            let mut fetched = BTreeSet::<String>::new();
            loop {
                let mut images = told.borrow_and_update().clone();
                images.insert(self.own.clone());
                let mut failed = false;
                for image in images.difference(&fetched.clone()) {
                    if let Err(why) = self.fetch(image).await {
                        tracing::warn!(image, "an image was not fetched in advance: {why}");
                        failed = true;
                    } else {
                        fetched.insert(image.clone());
                    }
                }
                let pause = if failed { AGAIN } else { self.refresh };
                tokio::select! {
                    changed = told.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(pause) => fetched.clear(),
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn fetch(&self, image: &str) -> Result<(), String> {
        let free = self.disk.free_bytes().map_err(|error| error.to_string())?;
        if free < self.min_free_disk_bytes {
            return Err(format!("the node has {} MiB of free disk", free >> 20));
        }
        // What a digest names does not change.
        let by_digest = image.contains('@');
        if by_digest && matches!(self.engine.image(image).await, Ok(Some(_))) {
            return Ok(());
        }
        let near = async { Near::default() }.boxed();
        let pull = self.engine.pull(image, None, near, &|_| {});
        match tokio::time::timeout(LIMIT, pull).await {
            Ok(pulled) => pulled.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("it took more than {} s", LIMIT.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk::{DiskMetrics, ImagesInUse, Space, Watermarks},
        external::engine::fake::FakeEngine,
    };

    fn disk(dir: &std::path::Path) -> Arc<DiskKeeper> {
        let never = Watermarks {
            free_percent: 0,
            headroom_percent: 0,
            keep_build_cache: Duration::ZERO,
        };
        Arc::new(DiskKeeper::new(
            || Ok(Space::default()),
            never,
            ImagesInUse::default(),
            dir,
            DiskMetrics::default(),
        ))
    }

    #[tokio::test]
    async fn the_nodes_image_and_those_of_the_control_plane_are_fetched_when_they_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, told) = (FakeEngine::default(), ToldImages::default());
        let prefetching = Prefetching {
            engine: Arc::new(engine.clone()),
            disk: disk(dir.path()),
            min_free_disk_bytes: 0,
            own: "own:1".to_owned(),
            told: told.clone(),
            refresh: Duration::from_secs(3600),
        };
        let stop = CancellationToken::new();
        let images = async {
            engine.pull_began.notified().await;
            engine.pull_may_end.notify_one();
            // The fake refuses a second pull: what is there by a digest is not asked for again.
            let digest = format!("theirs@sha256:{}", "a".repeat(64));
            engine.put(&digest, "id");
            told.learn(&["--privileged".to_owned(), "UPPER".to_owned(), digest]);
            while !engine.lock().names.contains_key("own:1") {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        let run = prefetching.run(stop.clone());
        tokio::join!(run, images);
        let fetched: Vec<String> = engine.lock().names.keys().cloned().collect();
        assert_eq!(fetched.len(), 2, "{fetched:?}");
        let pulled: Vec<String> = engine.lock().pulled.iter().cloned().collect();
        assert_eq!(pulled, ["own:1"]);
    }
}
