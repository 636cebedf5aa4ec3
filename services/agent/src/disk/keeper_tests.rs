use std::{
    collections::BTreeMap,
    sync::{Mutex as StdMutex, MutexGuard},
};

use async_trait::async_trait;
use hearth_domain::WorkspaceId;
use hearth_layers::{Pulled, RegistryLogin, Transfer, TransferError};

use super::*;
use crate::external::engine::{EngineInfo, LocalImage, OnTransfer, StoredImage};

const IMAGE_BYTES: u64 = 10;

/// An engine with images of the cache that take 10 bytes each of a disk with 100, and a build cache.
#[derive(Clone, Default)]
struct Shelf(Arc<StdMutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// Ids by name.
    names: BTreeMap<String, String>,
    of_containers: BTreeSet<String>,
    /// Image of a container that is made after the next look at the containers.
    of_late_container: Option<String>,
    /// Bytes that builds left behind, by when they were last used, in seconds before now.
    build_cache: BTreeMap<u64, u64>,
    /// Bytes of it that are removed and not yet free.
    promised: u64,
    refuses: BTreeSet<String>,
    mute: bool,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }

    fn put(&self, id: &str) {
        self.lock().names.insert(format!("r@{id}"), id.to_owned());
    }

    fn ids(&self) -> BTreeSet<String> {
        self.lock().names.values().cloned().collect()
    }

    fn space(&self) -> Space {
        let images = self.ids().len() as u64 * IMAGE_BYTES;
        let mut contents = self.lock();
        // It is free at the look after the next.
        let promised = std::mem::take(&mut contents.promised);
        let builds = contents.build_cache.values().sum::<u64>() + promised;
        Space {
            total: 100,
            free: 100 - images - builds,
        }
    }
}

#[async_trait]
impl Engine for Shelf {
    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        Ok(self.lock().names.get(image).map(|id| LocalImage {
            id: id.clone(),
            ..LocalImage::default()
        }))
    }
    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure> {
        let mut contents = self.lock();
        let id = contents.names[image].clone();
        contents.names.insert(format!("{repository}:{tag}"), id);
        Ok(())
    }
    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        if self.lock().mute {
            return Err(EngineFailure {
                action: "list its images",
                cause: "it does not answer".into(),
            });
        }
        let names = |id: &str, mark: char| -> Vec<String> {
            let contents = self.lock();
            let of_id = contents.names.iter().filter(|(_, of)| *of == id);
            let names = of_id.map(|(name, _)| name.clone());
            names.filter(|name| name.contains(mark)).collect()
        };
        let ids = self.ids();
        Ok(ids
            .iter()
            .map(|id| StoredImage {
                id: id.clone(),
                tags: names(id, ':'),
                digests: names(id, '@'),
                bytes: IMAGE_BYTES,
            })
            .collect())
    }
    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure> {
        let mut contents = self.lock();
        let now = contents.of_containers.clone();
        let late = contents.of_late_container.take();
        contents.of_containers.extend(late);
        Ok(now)
    }
    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        let mut contents = self.lock();
        if contents.refuses.contains(image) {
            return Err(EngineFailure {
                action: "remove the image",
                cause: "a container needs it".into(),
            });
        }
        contents.names.remove(image);
        Ok(())
    }
    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure> {
        let mut contents = self.lock();
        let unused = contents.build_cache.split_off(&unused_for.as_secs());
        contents.promised += unused.values().sum::<u64>();
        Ok(unused.values().sum())
    }
    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        unreachable!()
    }
    async fn create_volume(&self, _: &WorkspaceId) -> Result<std::path::PathBuf, EngineFailure> {
        unreachable!()
    }
    async fn remove_workspace(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }
    async fn remove_containers(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        unreachable!()
    }
    async fn file_of_image(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, EngineFailure> {
        unreachable!()
    }
    async fn file_of_container(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, EngineFailure> {
        unreachable!()
    }
    async fn pull(
        &self,
        _: &str,
        _: Option<&RegistryLogin>,
        _: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        unreachable!()
    }
    async fn push(
        &self,
        _: &str,
        _: &str,
        _: Option<&RegistryLogin>,
        _: OnTransfer<'_>,
    ) -> Result<Transfer, TransferError> {
        unreachable!()
    }
}

struct World {
    shelf: Shelf,
    images: ImagesInUse,
    keeper: DiskKeeper,
    _dir: tempfile::TempDir,
}

impl World {
    /// A disk that holds the images "1" to `count`, used in this order.
    async fn new(count: u64, free_percent: u8, headroom_percent: u8) -> Self {
        let (shelf, images) = (Shelf::default(), ImagesInUse::default());
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks {
            free_percent,
            headroom_percent,
            keep_build_cache: Duration::from_secs(60),
        };
        let measured = shelf.clone();
        let keeper = DiskKeeper::new(
            move || Ok(measured.space()),
            marks,
            images.clone(),
            dir.path(),
            DiskMetrics::default(),
        );
        for id in 1..=count {
            shelf.put(&id.to_string());
            keeper.used(&shelf, &format!("r@{id}")).await;
            // The clock may stand still between two of them.
            keeper.recency.set(&id.to_string(), id);
        }
        Self {
            shelf,
            images,
            keeper,
            _dir: dir,
        }
    }

    fn left(&self) -> Vec<String> {
        self.shelf.ids().into_iter().collect()
    }

    fn passes(&self, outcome: &'static str) -> u64 {
        self.keeper.metrics.passes(outcome)
    }
}

#[tokio::test]
async fn images_go_from_the_oldest_on_until_there_is_room_and_some_more() {
    let world = World::new(7, 40, 10).await;
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left(), ["3", "4", "5", "6", "7"]);
    assert_eq!(world.keeper.metrics.removed_images.get(), 2);
    assert_eq!(world.keeper.metrics.freed_bytes.get(), 20);
    assert_eq!(world.passes("ENOUGH"), 1);

    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left().len(), 5, "there is room");
    assert_eq!(world.passes("ENOUGH"), 1, "and nothing to tell");
}

#[tokio::test]
async fn a_use_makes_an_image_young_again() {
    let world = World::new(7, 40, 0).await;
    world.keeper.used(&world.shelf, "r@1").await;
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left(), ["1", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn what_a_container_or_an_attempt_needs_stays_and_so_does_what_is_not_hearths() {
    let world = World::new(4, 100, 0).await;
    world.shelf.put("foreign");
    world.shelf.lock().of_containers.insert("1".to_owned());
    let _need = world.images.enter("r@2");
    world.shelf.lock().refuses.insert("r@3".to_owned());
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left(), ["1", "2", "3", "foreign"]);
    assert_eq!(world.passes("SHORT"), 1);
}

#[tokio::test]
async fn a_container_that_is_made_after_the_choice_keeps_its_image() {
    let world = World::new(3, 100, 0).await;
    world.shelf.lock().of_late_container = Some("2".to_owned());
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left(), ["2"]);
}

#[tokio::test]
async fn an_attempt_gets_the_room_that_it_needs_also_above_the_mark() {
    let world = World::new(7, 10, 0).await;
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left().len(), 7);
    world.keeper.make_room(&world.shelf, 55).await;
    assert_eq!(world.left(), ["4", "5", "6", "7"]);
}

#[tokio::test]
async fn the_build_cache_goes_when_images_do_not_suffice_and_its_youngest_part_stays() {
    let world = World::new(1, 90, 0).await;
    const DAY: u64 = 24 * 3600;
    let ages = [(30, 5), (3600, 5), (2 * DAY, 20), (8 * DAY, 20)];
    world.shelf.lock().build_cache = BTreeMap::from(ages);
    let ages =
        |world: &World| -> Vec<u64> { world.shelf.lock().build_cache.keys().copied().collect() };
    world.keeper.make_room(&world.shelf, 0).await;
    assert!(world.left().is_empty());
    assert_eq!(ages(&world), [30, 3600], "that was enough");

    world.keeper.make_room(&world.shelf, 100).await;
    assert_eq!(ages(&world), [30]);
    assert_eq!(world.passes("SHORT"), 1);
}

#[tokio::test]
async fn without_a_mark_nothing_is_ever_removed() {
    let world = World::new(9, 0, 50).await;
    world.keeper.make_room(&world.shelf, 100).await;
    assert_eq!(world.left().len(), 9);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_no_harm_and_is_asked_again() {
    let world = World::new(9, 50, 0).await;
    world.shelf.lock().mute = true;
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!((world.left().len(), world.passes("FAILED")), (9, 1));
    world.shelf.lock().mute = false;
    world.keeper.make_room(&world.shelf, 0).await;
    assert_eq!(world.left().len(), 5);
}
