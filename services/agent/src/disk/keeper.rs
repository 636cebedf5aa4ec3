use std::{
    collections::BTreeSet,
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    choice::{MARK, Removable, mark_tag, removable},
    in_use::ImagesInUse,
    metrics::DiskMetrics,
    recency::Recency,
    watermarks::{Goal, Space, Watermarks},
};
use crate::external::engine::{Engine, EngineFailure};

/// Free disk is measured this often, and whenever an attempt has ended or a workspace was deleted.
const PERIOD: Duration = Duration::from_secs(300);
/// BuildKit's cache is pruned in these steps, the least recently used part first, until enough disk is free.
const BUILD_CACHE_AGES: [Duration; 3] = [
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(4 * 3600),
];

/// The disk gains what was pruned when containerd collects its garbage, a moment later, and less than BuildKit says where
/// an image has the same layers. Free disk is measured at most this many times until then.
const SETTLING_LOOKS: u32 = 12;
/// Time between two of these measurements.
const SETTLING: Duration = Duration::from_millis(250);

type Measure = Box<dyn Fn() -> io::Result<Space> + Send + Sync>;

/// Keeps disk free on the node: removes images of the cache, least recently used first, then BuildKit's own cache.
pub struct DiskKeeper {
    measure: Measure,
    watermarks: Watermarks,
    images: ImagesInUse,
    recency: Recency,
    metrics: DiskMetrics,
    one_at_a_time: Mutex<()>,
    wake: Notify,
    /// The last pass freed too little, which was reported.
    short: AtomicBool,
}

impl fmt::Debug for DiskKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskKeeper")
            .field("watermarks", &self.watermarks)
            .finish_non_exhaustive()
    }
}

impl DiskKeeper {
    /// A keeper of the disk that `measure` measures. It keeps a file in `state_dir`, which it reads here: waits for the disk.
    pub fn new(
        measure: impl Fn() -> io::Result<Space> + Send + Sync + 'static,
        watermarks: Watermarks,
        images: ImagesInUse,
        state_dir: &Path,
        metrics: DiskMetrics,
    ) -> Self {
        Self {
            measure: Box::new(measure),
            watermarks,
            images,
            recency: Recency::load(state_dir.join("images.json")),
            metrics,
            one_at_a_time: Mutex::default(),
            wake: Notify::new(),
            short: AtomicBool::new(false),
        }
    }

    /// Free bytes now.
    pub fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.measured()?.free)
    }

    /// Notes that an attempt uses an image of the cache that the engine has, and marks it as hearth's own. An image that
    /// cannot be marked is used all the same, and never removed.
    pub async fn used(&self, engine: &dyn Engine, image: &str) {
        let marked = async {
            let Some(found) = engine.image(image).await? else {
                return Ok(());
            };
            self.recency.touch(&found.id).await;
            engine.tag(image, MARK, mark_tag(&found.id)).await
        };
        if let Err(error) = marked.await {
            tracing::warn!(image, "an image of the cache is not marked as one: {error}");
        }
    }

    /// Has [`Self::run`] measure the disk soon, because an image may not be needed any more.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Frees disk when there is too little: now, whenever it is woken, and every few minutes.
    pub async fn run(self: Arc<Self>, engine: Arc<dyn Engine>, stop: CancellationToken) {
        let work = async {
            loop {
                self.make_room(engine.as_ref(), 0).await;
                let woken = self.wake.notified();
                // Both a wake and the timeout lead to a check.
                let _ = tokio::time::timeout(PERIOD, woken).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Frees disk if less is free than the watermark, or less than `needed` bytes. Calls wait for each other.
    pub async fn make_room(&self, engine: &dyn Engine, needed: u64) {
        let _one = self.one_at_a_time.lock().await;
        match self.pass(engine, needed).await {
            Ok(None) => self.short.store(false, Ordering::Relaxed),
            Ok(Some(done)) => {
                let was_short = self.short.swap(done.is_short(), Ordering::Relaxed);
                done.report(&self.metrics, was_short);
            }
            Err(error) => {
                self.metrics.pass("FAILED");
                tracing::warn!("no disk was freed: {error}");
            }
        }
    }

    /// `None` when enough disk is free.
    async fn pass(&self, engine: &dyn Engine, needed: u64) -> Result<Option<Done>, PassError> {
        let before = self.measured()?;
        let goal = match self.watermarks.goal(before, needed) {
            Some(goal) if before.free < goal.low => goal,
            _ => return Ok(None),
        };
        let mut done = Done {
            goal,
            before: before.free,
            after: before.free,
            images: 0,
        };
        for image in self.candidates(engine).await? {
            if done.after >= goal.enough {
                break;
            }
            done.images += u64::from(self.remove(engine, &image).await);
            done.after = self.measured()?.free;
        }
        let keep = self.watermarks.keep_build_cache;
        let ages = BUILD_CACHE_AGES.into_iter().filter(|age| *age > keep);
        // Work that would be refused is worth more than cache, however young that is.
        let in_need = (needed > 0).then_some(Duration::ZERO);
        let ages = ages
            .map(|age| (age, goal.enough))
            .chain([(keep, goal.enough)]);
        for (age, enough) in ages.chain(in_need.map(|age| (age, needed))) {
            if done.after >= enough {
                break;
            }
            let promised = engine.prune_build_cache(age).await?;
            done.after = self.settled(done.after.saturating_add(promised)).await?;
        }
        Ok(Some(done))
    }

    async fn candidates(&self, engine: &dyn Engine) -> Result<Vec<Removable>, EngineFailure> {
        let images = engine.images().await?;
        let of_containers = engine.images_of_containers().await?;
        let known: BTreeSet<_> = images.iter().map(|image| image.id.clone()).collect();
        self.recency.keep_only(&known).await;
        Ok(removable(
            images,
            &of_containers,
            |name| self.images.is_needed(name),
            |id| self.recency.last_use(id),
        ))
    }

    /// Removes an image unless it is needed by now. Returns whether it did.
    async fn remove(&self, engine: &dyn Engine, image: &Removable) -> bool {
        let Some(_removal) = self.images.begin_removal(&image.names) else {
            return false;
        };
        let removed = async {
            // No attempt uses it from here on, but one that ended since the choice may have left a container.
            if engine.images_of_containers().await?.contains(&image.id) {
                return Ok(false);
            }
            for name in &image.names {
                engine.remove_image(name).await?;
            }
            Ok::<_, EngineFailure>(true)
        };
        removed.await.unwrap_or_else(|error| {
            tracing::info!(image.id, "an image cannot be removed: {error}");
            false
        })
    }

    /// Waits until as many bytes are free as expected, or until no more can be expected. Returns the free bytes.
    async fn settled(&self, expected: u64) -> io::Result<u64> {
        let mut looks = 0;
        loop {
            let free = self.measured()?.free;
            looks += 1;
            if free >= expected || looks == SETTLING_LOOKS {
                return Ok(free);
            }
            tokio::time::sleep(SETTLING).await;
        }
    }

    fn measured(&self) -> io::Result<Space> {
        let space = (self.measure)()?;
        let free = i64::try_from(space.free).unwrap_or(i64::MAX);
        self.metrics.free_bytes.set(free);
        Ok(space)
    }
}

/// Why no disk was freed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("{0}")]
    Engine(#[from] EngineFailure),
    #[error("free disk cannot be measured: {0}")]
    Disk(#[from] io::Error),
}

/// Result of a pass.
#[derive(Debug)]
struct Done {
    goal: Goal,
    before: u64,
    after: u64,
    images: u64,
}

impl Done {
    fn is_short(&self) -> bool {
        self.after < self.goal.low
    }

    /// Warns of a disk that stays too full only once.
    fn report(&self, metrics: &DiskMetrics, was_short: bool) {
        let freed = self.after.saturating_sub(self.before);
        metrics.removed_images.inc_by(self.images);
        metrics.freed_bytes.inc_by(freed);
        metrics.pass(if self.is_short() { "SHORT" } else { "ENOUGH" });
        if self.is_short() && !was_short {
            tracing::warn!(
                disk.freed_bytes = freed,
                disk.free_bytes = self.after,
                disk.wanted_bytes = self.goal.low,
                images.removed = self.images,
                "the disk is too full, and nothing more on it may be removed"
            );
        } else {
            tracing::info!(
                disk.freed_bytes = freed,
                disk.free_bytes = self.after,
                disk.wanted_bytes = self.goal.low,
                images.removed = self.images,
                "removed unused images and build cache from the disk"
            );
        }
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
