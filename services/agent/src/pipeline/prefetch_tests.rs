use super::*;
use crate::{
    external::engine::fake::PULLED,
    pipeline::fake::{IMAGE, World},
};

fn removed(world: &World) -> bool {
    world.engine.lock().removed.contains(IMAGE)
}

#[tokio::test]
async fn a_prefetch_that_is_used_is_one_pull_that_ran_alongside_the_clone() {
    let world = World::new();
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.pull_began.notified()).await;
    assert!(prefetch.is_for(IMAGE) && !prefetch.is_for("another"));
    world.engine.pull_may_end.notify_one();
    assert_eq!(
        prefetch.finish().await,
        Some(Ok(Fetched {
            bytes: PULLED.done,
            ..Fetched::default()
        }))
    );
    prefetch.cancel(&cx).await;
    assert!(!removed(&world), "what is used stays");
    assert_eq!(
        world.log.after(0, None).events.len(),
        1,
        "its progress is told"
    );
}

#[tokio::test]
async fn a_prefetch_that_is_canceled_leaves_no_image_and_no_event() {
    for complete in [false, true] {
        let world = World::new();
        let cx = world.context();
        let mut prefetch = Prefetch::start(&cx);
        prefetch.alongside(world.engine.pull_began.notified()).await;
        if complete {
            world.engine.pull_may_end.notify_one();
            while !prefetch.fetch.has_ended() {
                prefetch.alongside(tokio::task::yield_now()).await;
            }
        }
        prefetch.cancel(&cx).await;
        assert!(!prefetch.is_for(IMAGE));
        assert!(removed(&world), "complete: {complete}");
        assert_eq!(world.log.after(0, None).events.len(), 0);
    }
}

#[tokio::test]
async fn a_canceled_prefetch_spares_an_image_that_was_there_or_that_another_attempt_needs() {
    let world = World::new();
    world.engine.put(IMAGE, "there before");
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(tokio::task::yield_now()).await;
    prefetch.cancel(&cx).await;
    assert!(!removed(&world));

    let world = World::new();
    let cx = world.context();
    let other = world.node.images.enter(IMAGE);
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.pull_began.notified()).await;
    prefetch.cancel(&cx).await;
    assert!(!removed(&world));
    drop(other);
}
