//! A control plane whose database was lost, belongs to another one, or is an older copy removes nothing from its nodes. When
//! the right one is back, everything goes on as before.

use std::{collections::BTreeMap, fs, path::Path};

use hearth_api::v1::{CacheResult, FailureReason, RemoveQuarantinedRequest, WorkspaceState};
use hearth_tests::process::PATIENCE;
use tonic::Code;

use crate::fleet::{Fleet, Stop, repository};

const LEASE: &str = "--node-lease-seconds=3";

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The workspaces in quarantine on the first node, and whether they go at some time.
async fn quarantined(fleet: &Fleet) -> BTreeMap<String, bool> {
    let nodes = fleet.client.nodes().await;
    let quarantined = nodes.into_iter().next().into_iter();
    let all = quarantined.flat_map(|node| node.quarantined);
    all.map(|one| (one.workspace_id, one.seconds_left.is_some()))
        .collect()
}

async fn until_quarantined(fleet: &Fleet, expected: &[(&str, bool)]) {
    let expected = expected
        .iter()
        .map(|(id, goes)| ((*id).to_owned(), *goes))
        .collect();
    until(&format!("{expected:?}"), async || {
        quarantined(fleet).await == expected
    })
    .await;
    // What is wrongly to be removed is removed by now, or when the next heartbeats are answered.
    fleet.until_heard("node-1").await;
    assert_eq!(quarantined(fleet).await, expected);
}

async fn prepare(fleet: &Fleet, number: usize) -> String {
    let preparations = fleet.prepare([("node-1", &*repository(number))]);
    let story = preparations.stories().await.remove(0);
    story.assert_state(WorkspaceState::Ready);
    story.workspace.id
}

/// The files of a database that nobody uses are at `from` and then at `to`.
fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let path = |file: &Path| format!("{}{end}", file.display());
        let _ = fs::remove_file(path(to));
        if let Err(error) = fs::copy(path(from), path(to)) {
            assert!(!end.is_empty(), "{error}");
        }
    }
}

fn remove(database: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database.display()));
    }
}

#[tokio::test]
async fn a_control_plane_without_its_database_removes_nothing_and_all_goes_on_when_it_is_back() {
    for how in [Stop::Orderly, Stop::Killed] {
        let mut fleet = Fleet::new(1, &[LEASE]).await;
        let aside = fleet.folder().join("aside.db");
        let ready = prepare(&fleet, 1).await;
        fleet.builds.hold();
        let preparing = fleet.prepare([("node-1", &*repository(2))]);
        fleet.builds.until_begun(2).await;
        let goes_on = fleet.nodes[0].attempts();
        fleet
            .restart_with(how, async |database| {
                copy(database, &aside);
                remove(database);
            })
            .await;
        let mut all = fleet.nodes[0].engine.ids().into_iter();
        let other = all.find(|id| *id != ready).expect("the other workspace");
        until_quarantined(&fleet, &[(&ready, false), (&other, false)]).await;
        assert!(fleet.nodes[0].engine.runs(&ready));
        assert_eq!(fleet.nodes[0].attempts(), goes_on, "nothing has ended");
        assert_eq!(fleet.builds.ongoing(), 1);

        fleet
            .restart_with(how, async |database| copy(&aside, database))
            .await;
        until_quarantined(&fleet, &[]).await;
        fleet.builds.let_go();
        let story = preparing.stories().await.remove(0);
        story.assert_state(WorkspaceState::Ready);
        assert_eq!(story.workspace.id, other);
        let seen = fleet.client.get(&ready).await;
        assert_eq!(seen.state(), WorkspaceState::Ready);
        fleet.client.delete(&ready).await;
        assert!(!fleet.nodes[0].engine.has(&ready));
    }
}

#[tokio::test]
async fn what_another_control_plane_had_prepared_goes_only_when_somebody_says_so() {
    let mut fleet = Fleet::new(1, &[LEASE]).await;
    let (aside, foreign) = (
        fleet.folder().join("aside.db"),
        fleet.folder().join("foreign.db"),
    );
    let [first, second] = [prepare(&fleet, 1).await, prepare(&fleet, 2).await];
    // Another cluster's, with a node of the same name and workspaces of its own.
    let mut other = Fleet::at(fleet.registry.clone(), 1, &[LEASE]).await;
    let theirs = prepare(&other, 3).await;
    other
        .restart_with(Stop::Orderly, async |database| copy(database, &foreign))
        .await;
    fleet
        .restart_with(Stop::Orderly, async |database| {
            copy(database, &aside);
            copy(&foreign, database);
        })
        .await;
    until_quarantined(&fleet, &[(&first, false), (&second, false)]).await;
    // It works on: and what it has prepared now is not the other's.
    let new = prepare(&fleet, 4).await;

    let discard = async |id: &str| {
        let request = RemoveQuarantinedRequest {
            node: "node-1".to_owned(),
            workspace_ids: vec![id.to_owned()],
        };
        let mut nodes = fleet.client.node_service();
        nodes.remove_quarantined(request).await.map(|_| ())
    };
    for not_quarantined in [&new, &theirs] {
        let refused = discard(not_quarantined).await.expect_err("a refusal");
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
        let why = refused.message();
        assert!(why.contains("not in quarantine"), "{why}");
    }
    discard(&first).await.expect("a removal");
    let engine = &fleet.nodes[0].engine;
    assert!(!engine.has(&first) && engine.runs(&second) && engine.runs(&new));
    until_quarantined(&fleet, &[(&second, false)]).await;

    fleet
        .restart_with(Stop::Orderly, async |database| copy(&aside, database))
        .await;
    until_quarantined(&fleet, &[(&new, false)]).await;
    let seen = fleet.client.get(&second).await;
    assert_eq!(seen.state(), WorkspaceState::Ready);
    // Its image is known, and so is everything else.
    let again = fleet.prepare([("node-1", &*repository(1))]);
    let again = again.stories().await.remove(0);
    assert_eq!(again.result(), CacheResult::Exact);
}

#[tokio::test]
async fn an_older_copy_of_the_database_removes_nothing_that_is_newer() {
    let mut fleet = Fleet::new(1, &[LEASE]).await;
    let (backup, now) = (
        fleet.folder().join("backup.db"),
        fleet.folder().join("now.db"),
    );
    fleet.builds.hold();
    let preparing = fleet.prepare([("node-1", &*repository(1))]);
    fleet.builds.until_begun(1).await;
    fleet
        .restart_with(Stop::Orderly, async |database| copy(database, &backup))
        .await;
    fleet.builds.let_go();
    let first = preparing.stories().await.remove(0);
    first.assert_state(WorkspaceState::Ready);
    let first = first.workspace.id;
    let second = prepare(&fleet, 2).await;
    // The control plane tells the node that it knows what was made.
    fleet.until_heard("node-1").await;
    fleet.until_heard("node-1").await;

    // The agent does not know the first attempt any more, so the older control plane takes it for failed.
    fleet.node("node-1").kill();
    fleet
        .restart_with(Stop::Orderly, async |database| {
            copy(database, &now);
            copy(&backup, database);
        })
        .await;
    fleet.node("node-1").start().await;
    until("the attempt has ended", async || {
        fleet.client.get(&first).await.settled
    })
    .await;
    let lost = fleet.client.get(&first).await;
    let why = lost.failure.expect("a failure").reason();
    assert_eq!(why, FailureReason::AgentRestarted);
    // Both registrations, before and after that.
    for _ in 0..2 {
        until_quarantined(&fleet, &[(&second, true)]).await;
        let engine = &fleet.nodes[0].engine;
        assert!(engine.runs(&first), "it was ready");
        assert!(engine.runs(&second));
        fleet.node("node-1").kill();
        fleet.node("node-1").start().await;
        fleet.until_heard("node-1").await;
    }

    fleet
        .restart_with(Stop::Orderly, async |database| copy(&now, database))
        .await;
    until_quarantined(&fleet, &[]).await;
    for id in [&first, &second] {
        let seen = fleet.client.get(id).await;
        assert_eq!(seen.state(), WorkspaceState::Ready, "{seen:#?}");
    }
}
