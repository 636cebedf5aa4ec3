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
    marks::{Goal, Marks, Space},
    metrics::DiskMetrics,
    recency::Recency,
};
use crate::external::engine::{Engine, EngineFailure};

/// The disk is looked at so often, besides whenever an attempt has ended or a workspace is gone.
const PERIOD: Duration = Duration::from_secs(300);
/// BuildKit's cache goes in these steps, the part first that was unused for longest, until there is room enough.
const BUILD_CACHE_AGES: [Duration; 3] = [
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(4 * 3600),
];

/// BuildKit gives back what was pruned when containerd collects its garbage, some moments later; and less than it says,
/// where an image has the same layers. The disk is looked at so many times.
const SETTLING_LOOKS: u32 = 12;
/// Between two of them.
const SETTLING: Duration = Duration::from_millis(250);

type Measure = Box<dyn Fn() -> io::Result<Space> + Send + Sync>;

/// Makes room on the node's disk: removes images of the cache, least recently used first, then BuildKit's own cache.
pub struct DiskKeeper {
    measure: Measure,
    marks: Marks,
    images: ImagesInUse,
    recency: Recency,
    metrics: DiskMetrics,
    one_at_a_time: Mutex<()>,
    wake: Notify,
    /// It is known that too little can be freed.
    short: AtomicBool,
}

impl fmt::Debug for DiskKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskKeeper")
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}

impl DiskKeeper {
    /// A keeper of the disk that `measure` looks at; it notes the use of images below `state_dir`.
    pub fn new(
        measure: impl Fn() -> io::Result<Space> + Send + Sync + 'static,
        marks: Marks,
        images: ImagesInUse,
        state_dir: &Path,
        metrics: DiskMetrics,
    ) -> Self {
        Self {
            measure: Box::new(measure),
            marks,
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
        Ok(self.look()?.free)
    }

    /// Notes that an attempt uses an image of the cache that the engine has, and marks it as hearth's own. An image that
    /// cannot be marked is used all the same, and stays.
    pub async fn used(&self, engine: &dyn Engine, image: &str) {
        let marked = async {
            let Some(found) = engine.image(image).await? else {
                return Ok(());
            };
            self.recency.touch(&found.id);
            engine.tag(image, MARK, mark_tag(&found.id)).await
        };
        if let Err(error) = marked.await {
            tracing::warn!(image, "an image of the cache is not marked as one: {error}");
        }
    }

    /// Something ended that may have needed an image: looks at the disk soon.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Looks at the disk now, whenever it is woken, and every few minutes.
    pub async fn run(self: Arc<Self>, engine: Arc<dyn Engine>, stop: CancellationToken) {
        let work = async {
            loop {
                self.make_room(engine.as_ref(), 0).await;
                let woken = self.wake.notified();
                // Either is a reason to look again.
                let _ = tokio::time::timeout(PERIOD, woken).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Frees disk if there is less than the mark, or less than `needed` bytes. Whoever comes while that is done waits,
    /// and finds the disk as it is then.
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
                tracing::warn!("no room was made on the disk: {error}");
            }
        }
    }

    /// `None` when there is room.
    async fn pass(&self, engine: &dyn Engine, needed: u64) -> Result<Option<Done>, NoRoom> {
        let before = self.look()?;
        let goal = match self.marks.goal(before, needed) {
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
            done.after = self.look()?.free;
        }
        let keep = self.marks.keep_build_cache;
        let ages = BUILD_CACHE_AGES.into_iter().filter(|age| *age > keep);
        for age in ages.chain([keep]) {
            if done.after >= goal.enough {
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
        self.recency.keep_only(&known);
        Ok(removable(
            images,
            &of_containers,
            |name| self.images.is_needed(name),
            |id| self.recency.last_use(id),
        ))
    }

    /// Whether the image is gone.
    async fn remove(&self, engine: &dyn Engine, image: &Removable) -> bool {
        let Some(_removal) = self.images.begin_removal(&image.names) else {
            return false;
        };
        let removed = async {
            // Nobody needs it from here on, but an attempt since the choice may have left a container.
            if engine.images_of_containers().await?.contains(&image.id) {
                return Ok(false);
            }
            for name in &image.names {
                engine.remove_image(name).await?;
            }
            Ok::<_, EngineFailure>(true)
        };
        removed.await.unwrap_or_else(|error| {
            tracing::info!(image.id, "an image that was to be removed stays: {error}");
            false
        })
    }

    /// Free bytes, once there are as many as expected, or no more are to be expected.
    async fn settled(&self, expected: u64) -> io::Result<u64> {
        let mut looks = 0;
        loop {
            let free = self.look()?.free;
            looks += 1;
            if free >= expected || looks == SETTLING_LOOKS {
                return Ok(free);
            }
            tokio::time::sleep(SETTLING).await;
        }
    }

    fn look(&self) -> io::Result<Space> {
        let space = (self.measure)()?;
        let free = i64::try_from(space.free).unwrap_or(i64::MAX);
        self.metrics.free_bytes.set(free);
        Ok(space)
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum NoRoom {
    #[error("{0}")]
    Engine(#[from] EngineFailure),
    #[error("the engine's data folder cannot be looked at: {0}")]
    Disk(#[from] io::Error),
}

/// What a pass did.
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

    /// A disk that stays too full is warned of once.
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
                "the disk is too full, and hearth has nothing more on it that may go"
            );
        } else {
            tracing::info!(
                disk.freed_bytes = freed,
                disk.free_bytes = self.after,
                disk.wanted_bytes = self.goal.low,
                images.removed = self.images,
                "removed from the disk what nobody uses"
            );
        }
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
