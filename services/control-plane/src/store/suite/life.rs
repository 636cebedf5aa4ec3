//! How long workspaces run.

use std::collections::HashSet;

use hearth_api::v1::{
    ContainerEnded, ContainerStarted, Lifetime, StopCause, TtlAction, WorkspaceState as State,
};

use super::*;
use crate::record::LifeChange;

const LEAD: Duration = Duration::from_secs(300);

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// A workspace that is ready and has settled, in the container `c-ID`.
async fn ready(store: &dyn Store, name: &str, lifetime: Lifetime) {
    let mut record = asked_for(name);
    record.workspace.lifetime = Some(lifetime);
    let created = store.create(record, None, &on_n1).await;
    assert!(matches!(created, Ok(Once::New(_))), "{created:?}");
    let container = ContainerStarted {
        container_id: format!("c-{name}"),
        ..ContainerStarted::default()
    };
    let kinds = [
        change(State::Preparing),
        Kind::Container(container),
        change(State::Ready),
        Kind::Settled(Settled {}),
    ];
    let attempt = attempt(name, 1);
    let appended = store.append(&attempt, events(1, kinds), now());
    appended.await.expect("events");
}

fn limits(ttl: u32, idle: u32, action: TtlAction) -> Lifetime {
    Lifetime {
        ttl_seconds: Some(ttl),
        idle_timeout_seconds: Some(idle),
        ttl_action: action.into(),
    }
}

/// Which workspaces end soon: by being idle, and whether they are deleted.
async fn ending(store: &dyn Store) -> Vec<(String, bool, bool)> {
    let ending = store.ending(LEAD).await.expect("a list").into_iter();
    let mut ending: Vec<_> = ending
        .map(|(of, ends)| (of.workspace.to_string(), ends.idle, ends.deletes))
        .collect();
    ending.sort();
    ending
}

async fn live(store: &dyn Store, name: &str, change: LifeChange) {
    let lived = store.live(&id(name), None, change, now()).await;
    lived.expect("a change");
}

pub(in crate::store) async fn a_workspace_ends_when_nobody_uses_it_or_its_time_is_over(
    store: Arc<dyn Store>,
) {
    let store = &*store;
    ready(store, "idle", limits(0, 7200, TtlAction::Stop)).await;
    ready(store, "ttl", limits(14_400, 7200, TtlAction::Delete)).await;
    ready(store, "free", limits(0, 0, TtlAction::Stop)).await;
    assert_eq!(ending(store).await, []);
    time_passes(hours(1)).await;
    store
        .used(&HashSet::from([id("ttl")]))
        .await
        .expect("noted");
    time_passes(hours(1)).await;
    assert_eq!(ending(store).await, [("idle".into(), true, false)]);
    for _ in 0..2 {
        store
            .used(&HashSet::from([id("ttl"), id("idle")]))
            .await
            .expect("noted");
        assert_eq!(ending(store).await, []);
        time_passes(hours(1)).await;
    }
    // Used or not.
    assert_eq!(ending(store).await, [("ttl".into(), false, true)]);
    let (_, ends) = store.ending(LEAD).await.expect("a list").remove(0);
    assert!(ends.end <= ends.now, "{ends:?}");
    assert_eq!(ends.told, None);
    store
        .told(&id("ttl"), ends.end, ends.now + 7)
        .await
        .expect("noted");
    let (_, told) = store.ending(LEAD).await.expect("a list").remove(0);
    assert_eq!(told.told, Some(ends.now + 7));
    // Of another end nothing was told.
    let longer = LifeChange::Renew(limits(60, 0, TtlAction::Stop));
    live(store, "ttl", longer).await;
    let (of, renewed) = store.ending(LEAD).await.expect("a list").remove(0);
    assert_eq!(of.workspace, id("ttl"));
    assert!(
        renewed.end > renewed.now && renewed.told.is_none(),
        "{renewed:?}"
    );
}

pub(in crate::store) async fn what_is_stopped_is_only_looked_after_where_it_is_to_be_deleted(
    store: Arc<dyn Store>,
) {
    let store = &*store;
    ready(store, "kept", limits(3600, 3600, TtlAction::Stop)).await;
    ready(store, "deleted", limits(7200, 3600, TtlAction::Delete)).await;
    for name in ["kept", "deleted"] {
        live(store, name, LifeChange::BeginStop(StopCause::Requested)).await;
        live(store, name, LifeChange::Stopped).await;
    }
    time_passes(hours(1)).await;
    assert_eq!(ending(store).await, []);
    time_passes(hours(1)).await;
    assert_eq!(ending(store).await, [("deleted".into(), false, true)]);
    // A start begins its time anew, and what is not settled is in use.
    live(store, "deleted", LifeChange::BeginStart).await;
    time_passes(hours(3)).await;
    assert_eq!(ending(store).await, []);
}

pub(in crate::store) async fn only_containers_of_workspaces_that_were_ready_are_watched(
    store: Arc<dyn Store>,
) {
    create(&*store, "new").await;
    let store = &*store;
    ready(store, "ready", limits(0, 0, TtlAction::Stop)).await;
    ready(store, "gone", limits(0, 0, TtlAction::Stop)).await;
    let removed = ContainerEnded {
        container_id: "c-gone".into(),
        removed: true,
        ..ContainerEnded::default()
    };
    live(store, "gone", LifeChange::Ended(removed)).await;
    let watched = store.watched().await.expect("a list").into_iter();
    let watched: Vec<_> = watched
        .map(|watched| (watched.id.to_string(), watched.state, watched.container_id))
        .collect();
    let expected = [
        ("ready".to_owned(), State::Ready, "c-ready".to_owned()),
        ("gone".to_owned(), State::Ready, String::new()),
    ];
    assert_eq!(watched, expected);
}
