use std::collections::BTreeMap;

use super::*;
use crate::external::engine::fake::{FakeEngine, IMAGE_BYTES};

/// A disk of 100 bytes with the engine's images and its build cache on it.
fn space(engine: &FakeEngine) -> Space {
    let images = engine.ids().len() as u64 * IMAGE_BYTES;
    let mut contents = engine.lock();
    // It is free at the look after the next.
    let promised = std::mem::take(&mut contents.promised);
    let builds = contents.build_cache.values().sum::<u64>() + promised;
    Space {
        total: 100,
        free: 100 - images - builds,
    }
}

struct World {
    engine: FakeEngine,
    images: ImagesInUse,
    keeper: DiskKeeper,
    _dir: tempfile::TempDir,
}

impl World {
    /// A disk that holds the images "1" to `count`, used in this order.
    async fn new(count: u64, free_percent: u8, headroom_percent: u8) -> Self {
        let (engine, images) = (FakeEngine::default(), ImagesInUse::default());
        let dir = tempfile::tempdir().unwrap();
        let marks = Watermarks {
            free_percent,
            headroom_percent,
            keep_build_cache: Duration::from_secs(60),
        };
        let measured = engine.clone();
        let keeper = DiskKeeper::new(
            move || Ok(space(&measured)),
            marks,
            images.clone(),
            dir.path(),
            DiskMetrics::default(),
        );
        for id in 1..=count {
            engine.put(&format!("r@{id}"), &id.to_string());
            keeper.used(&engine, &format!("r@{id}")).await;
            // The clock may stand still between two of them.
            keeper.recency.set(&id.to_string(), id);
        }
        Self {
            engine,
            images,
            keeper,
            _dir: dir,
        }
    }

    fn left(&self) -> Vec<String> {
        self.engine.ids().into_iter().collect()
    }

    fn passes(&self, outcome: &'static str) -> u64 {
        self.keeper.metrics.passes(outcome)
    }
}

#[tokio::test]
async fn images_go_from_the_oldest_on_until_there_is_room_and_some_more() {
    let world = World::new(7, 40, 10).await;
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left(), ["3", "4", "5", "6", "7"]);
    assert_eq!(world.keeper.metrics.removed_images.get(), 2);
    assert_eq!(world.keeper.metrics.freed_bytes.get(), 20);
    assert_eq!(world.passes("ENOUGH"), 1);

    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left().len(), 5, "there is room");
    assert_eq!(world.passes("ENOUGH"), 1, "and nothing to tell");
}

#[tokio::test]
async fn a_use_makes_an_image_young_again() {
    let world = World::new(7, 40, 0).await;
    world.keeper.used(&world.engine, "r@1").await;
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left(), ["1", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn what_a_container_or_an_attempt_needs_stays_and_so_does_what_is_not_hearths() {
    let world = World::new(4, 100, 0).await;
    world.engine.put("r@foreign", "foreign");
    world.engine.lock().of_containers.insert("1".to_owned());
    let _need = world.images.enter("r@2");
    world.engine.lock().refuses.insert("r@3".to_owned());
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left(), ["1", "2", "3", "foreign"]);
    assert_eq!(world.passes("SHORT"), 1);
}

#[tokio::test]
async fn a_container_that_is_made_after_the_choice_keeps_its_image() {
    let world = World::new(3, 100, 0).await;
    world.engine.lock().of_late_container = Some("2".to_owned());
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left(), ["2"]);
}

#[tokio::test]
async fn an_attempt_gets_the_room_that_it_needs_also_above_the_mark() {
    let world = World::new(7, 10, 0).await;
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left().len(), 7);
    world.keeper.make_room(&world.engine, 55).await;
    assert_eq!(world.left(), ["4", "5", "6", "7"]);
}

#[tokio::test]
async fn the_build_cache_goes_when_images_do_not_suffice_and_its_youngest_part_stays() {
    let world = World::new(1, 90, 0).await;
    const DAY: u64 = 24 * 3600;
    let ages = [(30, 5), (3600, 5), (2 * DAY, 20), (8 * DAY, 20)];
    world.engine.lock().build_cache = BTreeMap::from(ages);
    let ages =
        |world: &World| -> Vec<u64> { world.engine.lock().build_cache.keys().copied().collect() };
    world.keeper.make_room(&world.engine, 0).await;
    assert!(world.left().is_empty());
    assert_eq!(ages(&world), [30, 3600], "that was enough");

    world.keeper.make_room(&world.engine, 95).await;
    assert_eq!(ages(&world), [30], "an attempt needs no more");
    world.keeper.make_room(&world.engine, 100).await;
    assert!(ages(&world).is_empty(), "it would be refused otherwise");
    assert_eq!(world.passes("ENOUGH"), 3);
}

#[tokio::test]
async fn without_a_mark_nothing_is_ever_removed() {
    let world = World::new(9, 0, 50).await;
    world.keeper.make_room(&world.engine, 100).await;
    assert_eq!(world.left().len(), 9);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_no_harm_and_is_asked_again() {
    let world = World::new(9, 50, 0).await;
    world.engine.lock().mute = true;
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!((world.left().len(), world.passes("FAILED")), (9, 1));
    world.engine.lock().mute = false;
    world.keeper.make_room(&world.engine, 0).await;
    assert_eq!(world.left().len(), 5);
}
