//! Workspaces are stopped, started again, and end by themselves or when their time ends; and whatever is killed meanwhile,
//! no file of theirs is lost.

use std::path::Path;

use futures_util::future::join_all;
use hearth_agent::external::engine::KnownContainer;
use hearth_api::v1::{
    Event, FailureReason, Lifetime, PrepareWorkspaceRequest, RenewWorkspaceRequest, StopCause,
    TtlAction, WorkspaceState as State, event::Kind,
};
use hearth_tests::{
    client::{Client, Story, request},
    process::PATIENCE,
};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;
use tonic::Code;

use crate::fleet::{Fleet, Stop, repository};

/// Waits until something is as it should be.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn ready(fleet: &Fleet) -> String {
    let story = fleet.client.prepare("node-1", &repository(1)).await;
    story.assert_state(State::Ready);
    story.workspace.id
}

/// How often a hook ran, by the log.
fn hooks(story: &Story, name: &str) -> usize {
    let is_it = |kind: &&Kind| {
        matches!(kind, Kind::Activity(activity)
            if activity.name == name && !activity.finished && activity.detail.is_empty())
    };
    story.kinds().filter(is_it).count()
}

/// The events of a workspace after its newest attempt has settled.
async fn life(client: &Client, id: &str) -> Vec<Event> {
    let events = client.watch(id, 0).await.events;
    let is_settled = |event: &Event| matches!(event.kind, Some(Kind::Settled(_)));
    let settled = events.iter().rposition(is_settled).expect("it has settled");
    events[settled + 1..].to_vec()
}

#[tokio::test]
async fn a_workspace_is_stopped_and_started_again_and_each_of_it_twice_is_once() {
    let fleet = Fleet::new(1, &[]).await;
    let (client, engine) = (&fleet.client, &fleet.nodes[0].engine);
    let id = ready(&fleet).await;
    let before = client.get(&id).await;

    for _ in 0..2 {
        let stopped = client.stop(&id).await.expect("it is stopped");
        assert_eq!(stopped.state(), State::Stopped);
        assert_eq!(stopped.stop_cause(), StopCause::Requested);
        assert!(!engine.runs(&id) && engine.has(&id), "its files stay");
    }
    assert_eq!(engine.stops_and_starts(), (1, 0));

    let story = client.start(&id).await;
    story.assert_state(State::Ready);
    story.assert_whole();
    assert_eq!(hooks(&story, "postStartCommand"), 1, "{:#?}", story.events);
    assert_eq!(story.states(), [State::Preparing, State::Ready]);
    let after = &story.workspace;
    assert_eq!((after.attempt, &after.commit), (2, &before.commit));
    assert_eq!(after.container_id, before.container_id);
    assert_eq!(after.push, before.push);
    assert!(engine.runs(&id));
    // One that runs is only followed.
    let again = client.start(&id).await;
    assert_eq!((again.events.len(), again.workspace.attempt), (0, 2));
    assert_eq!(engine.stops_and_starts(), (1, 1));
    assert_eq!(fleet.nodes[0].attempts(), 0);

    client.stop(&id).await.expect("it is stopped");
    let anew = client.prepare_anew(&id).await;
    anew.assert_state(State::Ready);
    client.stop(&id).await.expect("it is stopped");
    client.delete(&id).await;
    assert!(!engine.has(&id), "nothing is left");
}

#[tokio::test]
async fn what_is_being_prepared_or_has_failed_is_neither_stopped_nor_started() {
    let fleet = Fleet::new(1, &[]).await;
    fleet.builds.hold();
    let mut preparing = fleet.prepare([("node-1", &*repository(1))]);
    preparing
        .until(
            1,
            |kind| matches!(kind, Kind::StateChanged(change) if change.state() == State::Preparing),
        )
        .await;
    let id = fleet.nodes[0].engine.ids();
    let id = match id.first() {
        Some(id) => id.clone(),
        None => {
            fleet.builds.until_begun(1).await;
            fleet.nodes[0].engine.ids().remove(0)
        }
    };
    let refused = fleet.client.stop(&id).await.expect_err("it is prepared");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("hearth rm"), "{refused}");
    fleet.builds.let_go();
    preparing
        .stories()
        .await
        .remove(0)
        .assert_state(State::Ready);
    let unknown = fleet.client.stop("ws-unknown").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn calls_at_the_same_time_leave_a_workspace_in_one_piece() {
    let fleet = Fleet::new(1, &[]).await;
    let (client, engine) = (&fleet.client, &fleet.nodes[0].engine);
    let id = ready(&fleet).await;
    for _ in 0..3 {
        let calls = (0..12).map(|number| {
            let id = id.clone();
            async move {
                match number % 3 {
                    // A call that comes too late for another one says so.
                    0 => drop(client.stop(&id).await),
                    1 => drop(client.begin_start(&id).await),
                    _ => drop(client.start(&id).await),
                }
            }
        });
        join_all(calls).await;
        let stopped = client.stop(&id).await.expect("it is stopped");
        assert_eq!(stopped.state(), State::Stopped, "{stopped:#?}");
        assert!(!engine.runs(&id) && engine.has(&id));
        client.start(&id).await.assert_state(State::Ready);
        assert!(engine.runs(&id));
    }
    let (stops, deletions) = (client.stop(&id), client.delete(&id));
    let (_, ()) = tokio::join!(stops, deletions);
    assert!(!engine.has(&id));
}

#[tokio::test]
async fn a_start_whose_agent_is_killed_leaves_the_workspace_stopped_with_all_its_files() {
    let mut fleet = Fleet::new(1, &["--node-lease-seconds=3"]).await;
    let id = ready(&fleet).await;
    fleet.client.stop(&id).await.expect("it is stopped");
    fleet.builds.hold_hooks();
    let stream = fleet.client.begin_start(&id).await.expect("a stream");
    let engine = fleet.nodes[0].engine.clone();
    until("its container runs", || engine.runs(&id)).await;

    fleet.node("node-1").kill();
    fleet.node("node-1").start().await;
    let stopped = fleet.client.until_state(&id, State::Stopped).await;
    drop(stream);
    assert_eq!(stopped.stop_cause(), StopCause::StartFailed);
    let failure = stopped.failure.expect("a failure");
    assert_eq!(failure.reason(), FailureReason::AgentRestarted);
    until("what was started is stopped", || !engine.runs(&id)).await;
    assert!(engine.has(&id), "its files stay");

    fleet.builds.let_hooks_go();
    fleet.client.start(&id).await.assert_state(State::Ready);
    // A stop ends a start.
    fleet.client.stop(&id).await.expect("it is stopped");
    fleet.builds.hold_hooks();
    let stream = fleet.client.begin_start(&id).await.expect("a stream");
    until("its container runs", || engine.runs(&id)).await;
    let stopped = fleet.client.stop(&id).await.expect("it is stopped");
    drop(stream);
    assert_eq!(stopped.stop_cause(), StopCause::Requested);
    assert!(!engine.runs(&id) && engine.has(&id));
    fleet.builds.let_hooks_go();
    fleet.client.start(&id).await.assert_state(State::Ready);
}

#[tokio::test]
async fn a_control_plane_that_is_killed_goes_on_with_starts_and_stops() {
    let mut fleet = Fleet::new(1, &["--node-lease-seconds=9"]).await;
    let id = ready(&fleet).await;
    let engine = fleet.nodes[0].engine.clone();
    for how in [Stop::Killed, Stop::Orderly] {
        engine.hang();
        let (client, of) = (fleet.client.clone(), id.clone());
        let mut stop = JoinSet::new();
        stop.spawn(async move { client.stop(&of).await });
        fleet.client.until_state(&id, State::Stopping).await;
        fleet.restart_control_plane(how).await;
        engine.go_on();
        drop(stop.join_next().await);
        let stopped = fleet.client.until_state(&id, State::Stopped).await;
        assert_eq!(stopped.stop_cause(), StopCause::Requested);
        assert!(!engine.runs(&id));

        fleet.builds.hold_hooks();
        let stream = fleet.client.begin_start(&id).await.expect("a stream");
        until("its container runs", || engine.runs(&id)).await;
        fleet.restart_control_plane(how).await;
        drop(stream);
        fleet.builds.let_hooks_go();
        fleet.client.until_state(&id, State::Ready).await;
    }
}

#[tokio::test]
async fn a_container_that_ends_by_itself_is_a_state_and_an_event_with_what_is_known_of_its_end() {
    let fleet = Fleet::new(1, &["--node-lease-seconds=3"]).await;
    let (client, engine) = (&fleet.client, &fleet.nodes[0].engine);
    let id = ready(&fleet).await;
    engine.dies(
        &id,
        KnownContainer {
            exit_code: 137,
            out_of_memory: true,
            output_tail: "one\n\u{1b}[31mKilled".into(),
            ..KnownContainer::default()
        },
    );
    let stopped = client.until_state(&id, State::Stopped).await;
    assert_eq!(stopped.stop_cause(), StopCause::ContainerEnded);
    assert!(stopped.settled);
    let events = life(client, &id).await;
    let Some(Kind::ContainerEnded(ended)) = &events[0].kind else {
        panic!("{events:#?}")
    };
    assert_eq!((ended.exit_code, ended.out_of_memory), (137, true));
    assert_eq!(ended.output_tail, "one\nKilled");
    assert_eq!(events.len(), 2, "{events:#?}");
    client.start(&id).await.assert_state(State::Ready);

    // Somebody stops and starts it by hand, as a node does that is started again.
    engine.dies(&id, KnownContainer::default());
    client.until_state(&id, State::Stopped).await;
    engine.comes_back(&id);
    client.until_state(&id, State::Ready).await;

    engine.removes_container(&id);
    let lost = client.until_state(&id, State::Lost).await;
    assert_eq!(
        lost.failure.map(|failure| failure.reason()),
        Some(FailureReason::ContainerGone)
    );
    let told = async {
        while !matches!(
            life(client, &id).await.last().and_then(|event| event.kind.clone()),
            Some(Kind::ContainerEnded(ended)) if ended.removed
        ) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    told.expect("an event says that it was removed");
    let refused = client
        .begin_start(&id)
        .await
        .expect_err("there is nothing to start");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("hearth up --workspace"),
        "{refused}"
    );
    client.prepare_anew(&id).await.assert_state(State::Ready);
}

fn lives(seconds: Lifetime) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        lifetime: Some(seconds),
        ..request("node-1", &repository(1))
    }
}

/// The control plane has run for so long on this database.
async fn run_longer(database: &Path, seconds: i64) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.expect("the database");
    sqlx::query("UPDATE control_plane SET run_ms = run_ms + ?")
        .bind(seconds * 1000)
        .execute(&mut connection)
        .await
        .expect("a change");
}

fn warnings(events: &[Event]) -> Vec<(StopCause, bool)> {
    let warnings = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::Expiring(expiring)) => Some((expiring.cause(), expiring.deleted)),
        _ => None,
    });
    warnings.collect()
}

#[tokio::test]
async fn a_workspace_whose_time_ends_is_warned_of_it_and_stopped_or_deleted_as_was_asked_for() {
    let mut fleet = Fleet::new(1, &["--expiry-warning-seconds=1"]).await;
    let (stop, delete) = (TtlAction::Stop.into(), TtlAction::Delete.into());
    let mut ids = Vec::new();
    for (ttl, idle, action) in [
        (0, 600, stop),
        (3600, 0, stop),
        (3600, 0, delete),
        (0, 0, stop),
    ] {
        let story = fleet
            .client
            .run(lives(Lifetime {
                ttl_seconds: Some(ttl),
                idle_timeout_seconds: Some(idle),
                ttl_action: action,
            }))
            .await;
        story.assert_state(State::Ready);
        ids.push(story.workspace.id);
    }
    let [idle, ttl, deleted, free] = &ids[..] else {
        panic!("{ids:?}")
    };
    // Nothing ends for a restart alone, however long nobody ran it.
    fleet
        .restart_with(Stop::Killed, async |database| {
            run_longer(database, 300).await
        })
        .await;
    let renew = RenewWorkspaceRequest {
        workspace_id: ttl.clone(),
        lifetime: None,
    };
    let renewed = fleet.client.workspaces().renew_workspace(renew).await;
    let renewed = renewed.expect("it is renewed").into_inner().workspace;
    let limits = renewed.and_then(|workspace| workspace.lifetime);
    assert_eq!(limits.and_then(|limits| limits.ttl_seconds), Some(3600));

    fleet
        .restart_with(Stop::Orderly, async |database| {
            run_longer(database, 3400).await
        })
        .await;
    let stopped = fleet.client.until_state(idle, State::Stopped).await;
    assert_eq!(stopped.stop_cause(), StopCause::Idle);
    let events = life(&fleet.client, idle).await;
    assert_eq!(warnings(&events), [(StopCause::Idle, false)]);
    let gone = async {
        while fleet.client.try_get(deleted).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    gone.expect("it is deleted");
    let engine = fleet.nodes[0].engine.clone();
    assert!(!engine.has(deleted) && engine.has(idle));
    // It was renewed.
    assert_eq!(fleet.client.get(ttl).await.state(), State::Ready);

    fleet
        .restart_with(Stop::Orderly, async |database| {
            run_longer(database, 300).await
        })
        .await;
    let stopped = fleet.client.until_state(ttl, State::Stopped).await;
    assert_eq!(stopped.stop_cause(), StopCause::Ttl);
    let events = life(&fleet.client, ttl).await;
    assert_eq!(warnings(&events), [(StopCause::Ttl, false)]);
    assert_eq!(fleet.client.get(free).await.state(), State::Ready);
    // Its times begin anew.
    fleet.client.start(ttl).await.assert_state(State::Ready);
}
