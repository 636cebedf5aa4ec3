//! What every store has to do. Each test is generic over the store; a new store adds one line at the end.

mod cache;
mod clients;
mod history;
mod joining;
mod life;
mod nodes;

use std::{sync::Arc, time::Duration};

use hearth_api::v1::{
    Event, LogChunk, NodeInfo, Settled, StateChanged, Workspace, WorkspaceState, event::Kind,
};
use hearth_domain::{AttemptRef, WorkspaceId};

use self::{cache::*, clients::*, history::*, joining::*, life::*, nodes::*};
use super::{workspaces::Page, *};
use crate::{
    clock::{from_millis, now},
    record::{Ending, Rebuilding, Record, asked_for},
};

/// Few enough that a test can fill it, and so many that no part of it is dropped beyond what is too much.
const HISTORY: HistoryLimits = HistoryLimits {
    events: 7,
    bytes: 7000,
};
const WHOLE: PageLimit = items(1000);

const fn items(items: u32) -> PageLimit {
    PageLimit {
        items,
        bytes: u64::MAX,
    }
}

fn id(id: &str) -> WorkspaceId {
    id.parse().expect("an id")
}

fn attempt(workspace: &str, number: u32) -> AttemptRef {
    AttemptRef {
        workspace: id(workspace),
        number,
    }
}

fn request(id: &str, payload: &str) -> Option<RequestId> {
    Some(RequestId {
        id: id.into(),
        payload: payload.into(),
    })
}

fn change(state: WorkspaceState) -> Kind {
    Kind::StateChanged(StateChanged {
        state: state.into(),
        ..StateChanged::default()
    })
}

fn events(first: u64, kinds: impl IntoIterator<Item = Kind>) -> Vec<Event> {
    (first..)
        .zip(kinds)
        .map(|(sequence, kind)| Event {
            sequence,
            attempt: 1,
            time: Some(from_millis(1)),
            kind: Some(kind),
        })
        .collect()
}

fn lines(count: usize) -> impl Iterator<Item = Kind> {
    std::iter::repeat_n(Kind::Log(LogChunk::default()), count)
}

/// In milliseconds.
const YEAR: i64 = 365 * 24 * 3600 * 1000;

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// The control plane runs for so long.
async fn time_passes(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn on_n1(_: &[Load]) -> Option<String> {
    Some("n1".to_owned())
}

async fn create(store: &dyn Store, id: &str) -> Record {
    match store.create(asked_for(id), None, &on_n1).await {
        Ok(Once::New(change)) => change.record,
        other => panic!("{other:?}"),
    }
}

async fn page(store: &dyn Store, workspace: &str, after: u64) -> Page {
    let page = store
        .events(&id(workspace), after, WHOLE)
        .await
        .expect("a read");
    page.expect("a workspace")
}

pub(super) async fn a_workspace_reads_back_and_is_unfinished(store: Arc<dyn Store>) {
    let record = create(&*store, "a").await;
    assert_eq!(record.workspace.state(), WorkspaceState::Pending);
    assert_eq!(record.workspace.attempt, 1);
    let read = store.workspace(&id("a")).await.expect("a read");
    assert_eq!(read.as_ref(), Some(&record));
    assert_eq!(store.unfinished().await.expect("a read"), [record]);
    assert_eq!(store.workspace(&id("b")).await.expect("a read"), None);
    assert_eq!(
        store.events(&id("b"), 0, WHOLE).await.expect("a read"),
        None
    );
}

pub(super) async fn a_request_leads_to_one_workspace(store: Arc<dyn Store>) {
    let first = store
        .create(asked_for("a"), request("r", "p"), &on_n1)
        .await;
    assert!(matches!(first, Ok(Once::New(_))), "{first:?}");
    match store
        .create(asked_for("b"), request("r", "p"), &on_n1)
        .await
    {
        Ok(Once::Before(record)) => assert_eq!(record.workspace.id, "a"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        store
            .create(asked_for("c"), request("r", "other"), &on_n1)
            .await,
        Err(StoreError::RequestIdReused)
    ));
    assert!(matches!(
        store
            .requested(&request("r", "other").expect("a request"))
            .await,
        Err(StoreError::RequestIdReused)
    ));
    match store
        .begin_attempt(&id("a"), request("r2", "p"), Rebuilding::default(), now())
        .await
    {
        Ok(Once::New(change)) => assert_eq!(change.record.workspace.attempt, 2),
        other => panic!("{other:?}"),
    }
    match store
        .begin_attempt(&id("a"), request("r2", "p"), Rebuilding::default(), now())
        .await
    {
        Ok(Once::Before(record)) => assert_eq!(record.workspace.attempt, 2),
        other => panic!("{other:?}"),
    }
    store.forget(&id("a")).await.expect("a deletion");
    let again = store
        .create(asked_for("d"), request("r", "new"), &on_n1)
        .await;
    assert!(matches!(again, Ok(Once::New(_))), "{again:?}");
}

pub(super) async fn events_and_snapshot_change_together_and_once(store: Arc<dyn Store>) {
    create(&*store, "a").await;
    let batch = events(
        1,
        [change(WorkspaceState::Preparing)]
            .into_iter()
            .chain(lines(2)),
    );
    let appended = store.append(&attempt("a", 1), batch.clone(), now()).await;
    let appended = appended.expect("an append");
    assert_eq!(appended.entries.len(), 3);
    let again = store
        .append(&attempt("a", 1), batch, now())
        .await
        .expect("an append");
    assert_eq!(again.entries, []);

    let page = page(&*store, "a", 0).await;
    assert_eq!(page.record, appended.record);
    assert_eq!(page.record.workspace.state(), WorkspaceState::Preparing);
    let sequences: Vec<_> = page.events.iter().map(|event| event.sequence).collect();
    assert_eq!((sequences, page.oldest), (vec![1, 2, 3], 1));
    let rest = store.events(&id("a"), 1, items(1)).await.expect("a read");
    assert_eq!(rest.expect("a workspace").events, page.events[1..2]);

    let noted = store
        .note(&attempt("a", 1), "a warning", now())
        .await
        .expect("a note");
    assert_eq!(noted.entries[0].event.sequence, 4);
    assert_eq!(noted.record.workspace.last_sequence, 4);
}

pub(super) async fn nothing_is_written_for_an_attempt_that_is_not_the_newest(
    store: Arc<dyn Store>,
) {
    create(&*store, "a").await;
    store
        .begin_attempt(&id("a"), None, Rebuilding::default(), now())
        .await
        .expect("an attempt");
    for number in [1, 3] {
        let batch = events(1, [change(WorkspaceState::Preparing)]);
        let error = store.append(&attempt("a", number), batch, now()).await;
        assert!(matches!(error, Err(StoreError::AttemptOutdated { .. })));
        let error = store
            .end(&attempt("a", number), &Ending::NodeLost, now())
            .await;
        assert!(matches!(error, Err(StoreError::AttemptOutdated { .. })));
        let error = store.note(&attempt("a", number), "warning", now()).await;
        assert!(matches!(error, Err(StoreError::AttemptOutdated { .. })));
        let error = store.accepted(&attempt("a", number), "boot", now()).await;
        assert!(matches!(error, Err(StoreError::AttemptOutdated { .. })));
    }
    let record = store.accepted(&attempt("a", 2), "boot", now()).await;
    assert_eq!(record.expect("a change").progress.boot_id, "boot");
    let read = store.workspace(&id("a")).await.expect("a read");
    assert_eq!(read.expect("a workspace").progress.boot_id, "boot");
}

pub(super) async fn a_deleted_workspace_is_unfinished_until_it_is_forgotten(store: Arc<dyn Store>) {
    create(&*store, "a").await;
    let kinds = [
        change(WorkspaceState::Preparing),
        change(WorkspaceState::Ready),
        Kind::Settled(Settled {}),
    ];
    let batch = events(1, kinds);
    store
        .append(&attempt("a", 1), batch, now())
        .await
        .expect("an append");
    assert_eq!(store.unfinished().await.expect("a read"), []);
    store.begin_delete(&id("a"), now()).await.expect("a change");
    store.begin_delete(&id("a"), now()).await.expect("a change");
    let unfinished = store.unfinished().await.expect("a read");
    assert_eq!(unfinished[0].workspace.state(), WorkspaceState::Deleting);
    assert!(matches!(
        store
            .begin_attempt(&id("a"), None, Rebuilding::default(), now())
            .await,
        Err(StoreError::Deleting(_))
    ));
    store.forget(&id("a")).await.expect("a deletion");
    store.forget(&id("a")).await.expect("a deletion");
    assert_eq!(store.workspace(&id("a")).await.expect("a read"), None);
    assert!(matches!(
        store.begin_delete(&id("a"), now()).await,
        Err(StoreError::WorkspaceUnknown(_))
    ));
}

pub(super) async fn lists_are_newest_first_and_counts_are_by_node_and_state(store: Arc<dyn Store>) {
    for id in ["a", "b", "c"] {
        create(&*store, id).await;
    }
    store.begin_delete(&id("b"), now()).await.expect("a change");
    let first = store.list(None, items(2)).await.expect("a read");
    let ids = |page: &[(u64, Option<Workspace>)]| -> Vec<String> {
        let readable = page.iter().filter_map(|(_, workspace)| workspace.as_ref());
        readable.map(|workspace| workspace.id.clone()).collect()
    };
    assert_eq!(ids(&first), ["c", "b"]);
    let rest = store
        .list(Some(first[1].0), items(2))
        .await
        .expect("a read");
    assert_eq!(ids(&rest), ["a"]);
    let mut counts = store.counts().await.expect("a read");
    counts.sort_by_key(|count| count.workspaces);
    assert_eq!(
        counts,
        [(WorkspaceState::Deleting, 1), (WorkspaceState::Pending, 2)].map(|(state, workspaces)| {
            Count {
                node: "n1".into(),
                state,
                workspaces,
            }
        })
    );
}

macro_rules! suite {
    ($store:ident, $open:path) => {
        suite!($store, $open,
            a_workspace_reads_back_and_is_unfinished
            a_request_leads_to_one_workspace
            events_and_snapshot_change_together_and_once
            nothing_is_written_for_an_attempt_that_is_not_the_newest
            of_too_many_events_the_oldest_output_is_dropped
            of_too_many_bytes_the_oldest_output_is_dropped
            a_log_of_results_alone_is_bounded_too
            a_page_has_so_many_bytes_and_one_event_at_least
            old_output_of_what_has_settled_is_dropped_once
            a_deleted_workspace_is_unfinished_until_it_is_forgotten
            lists_are_newest_first_and_counts_are_by_node_and_state
            a_node_is_known_by_what_it_said_last
            the_newest_build_cache_is_read_until_something_is_removed
            a_node_is_removed_with_its_session_when_it_is_empty_or_by_force
            a_workspace_is_placed_by_what_the_nodes_have_to_do_at_that_moment
            the_newest_session_of_a_node_replaces_the_one_before
            the_newest_image_of_a_key_is_the_one_that_is_found
            entries_are_listed_newest_first_and_dropped_by_config_and_key
            what_is_not_used_or_too_much_is_retired
            what_is_in_daily_use_never_goes_for_what_was_built_later
            a_clock_that_jumps_retires_nothing
            a_clock_that_jumps_drops_no_output
            a_use_is_noted_once_an_hour
            what_was_removed_is_entered_again_only_by_who_asks_afterwards
            lookups_rates_and_results_are_remembered
            each_service_of_a_configuration_has_a_newest_image_of_its_own
            a_client_reads_back_with_its_last_use_until_it_is_revoked
            the_name_of_a_client_is_given_once
            a_token_is_used_as_often_as_it_may_be
            of_two_nodes_with_one_use_one_joins
            tokens_and_names_end
            a_workspace_ends_when_nobody_uses_it_or_its_time_is_over
            what_is_stopped_is_only_looked_after_where_it_is_to_be_deleted
            only_containers_of_workspaces_that_were_ready_are_watched
        );
    };
    ($store:ident, $open:path, $($test:ident)*) => {
        mod $store {
            $(#[tokio::test]
            async fn $test() {
                let (store, _directory) = $open().await;
                super::$test(store).await;
            })*
        }
    };
}

async fn open_sqlite() -> (Arc<dyn Store>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        history: HISTORY,
        min_free_mib: 0,
    };
    let store = Sqlite::open(&directory.path().join("h.db"), settings).await;
    (Arc::new(store.expect("a store")), directory)
}

suite!(sqlite, super::open_sqlite);
