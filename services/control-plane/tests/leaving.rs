//! Nodes come and go: one that has left gets nothing, and what never began on it begins elsewhere.

use hearth_api::v1::{
    Event, NodeState, PipelineStep, PrepareWorkspaceRequest, RemoveNodeRequest, WorkspaceState,
    event::Kind,
};
use tonic::{Code, Status};

use crate::support::{
    agent::FakeAgent,
    events::{failed, preparing, ready, settled, started, words},
    plane::{Plane, again, shop},
    refusals::reason,
    start::{begin, with_agent},
};

fn on(node: &str) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        node: node.into(),
        ..shop()
    }
}

fn warnings(events: &[Event]) -> Vec<&str> {
    let kinds = events.iter().filter_map(|event| event.kind.as_ref());
    kinds
        .filter_map(|kind| match kind {
            Kind::Warning(warning) => Some(warning.message.as_str()),
            _ => None,
        })
        .collect()
}

async fn states(plane: &Plane) -> Vec<NodeState> {
    let nodes = plane.list_nodes().await.into_iter();
    nodes.map(|node| node.state()).collect()
}

#[tokio::test]
async fn a_node_that_has_left_is_shown_so_and_gets_nothing_until_it_registers_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut plane = Plane::start(directory.path(), &[]).await;
    let mut agent = FakeAgent::join(&plane, "n1").await;
    agent.deregister(&plane).await;
    for _ in 0..2 {
        assert_eq!(states(&plane).await, [NodeState::Left]);
        for node in ["", "n1"] {
            let refused = plane.try_prepare(on(node)).await.err().expect("a refusal");
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        }
        // It is remembered over a restart.
        plane.stop().await;
        plane = Plane::start(directory.path(), &[]).await;
    }
    assert!(!agent.heartbeat(&plane).await, "a late one changes nothing");
    assert_eq!(states(&plane).await, [NodeState::Left]);

    agent.restart();
    agent.register(&plane, &[]).await;
    assert_eq!(states(&plane).await, [NodeState::Online]);
    begin(&plane, &agent, shop()).await;
}

#[tokio::test]
async fn only_the_agent_that_is_registered_can_say_that_its_node_leaves() {
    let (plane, mut agent) = with_agent(&[]).await;
    let old = agent.boot_id.clone();
    agent.restart();
    agent.register(&plane, &[]).await;
    let new = std::mem::replace(&mut agent.boot_id, old);
    agent.deregister(&plane).await;
    assert_eq!(states(&plane).await, [NodeState::Online]);
    agent.boot_id = new;
}

#[tokio::test]
async fn what_an_agent_ends_while_it_leaves_is_heard_and_what_it_does_not_end_is_ended() {
    let (plane, mut agent) = with_agent(&[]).await;
    let (told, told_id) = begin(&plane, &agent, shop()).await;
    let (silent, silent_id) = begin(&plane, &agent, shop()).await;
    agent.say(&told_id, 1, [preparing()]);
    agent.say(
        &silent_id,
        1,
        [preparing(), ready(), started(PipelineStep::Push)],
    );
    agent.deregister(&plane).await;
    let stopped = hearth_api::v1::FailureReason::AgentRestarted;
    agent.say(&told_id, 1, [failed(stopped), settled()]);
    assert_eq!(
        words(&told.rest().await),
        ["PREPARING", "AGENT_RESTARTED", "settled"]
    );
    agent.crash();
    let events = words(&silent.rest().await);
    assert_eq!(events[3..], ["broken off", "INTERRUPTED", "settled"]);
}

#[tokio::test]
async fn an_attempt_that_never_began_is_placed_on_another_node_and_says_so() {
    let plane = Plane::fresh(&[]).await;
    let n1 = FakeAgent::join(&plane, "n1").await;
    n1.refuse(Some(Code::Unavailable));
    let follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    assert_eq!(follower.snapshot.node, "n1");
    n1.when_started_times(1).await;
    let n2 = FakeAgent::join(&plane, "n2").await;
    n2.started(&id, 1).await;
    n2.say(&id, 1, [preparing(), ready(), settled()]);
    let events = follower.rest().await;
    let [warning] = warnings(&events)[..] else {
        panic!("{events:?}");
    };
    assert!(
        warning.contains("n1 did not begin") && warning.contains("placed on n2"),
        "{warning}"
    );
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!((workspace.node.as_str(), workspace.attempt), ("n2", 1));
    assert_eq!(workspace.state(), WorkspaceState::Ready);
    // What the first node may have of it is removed when it registers.
    n1.register(&plane, &[&id]).await;
    n1.asked_to_remove(&id).await;
    n2.register(&plane, &[&id]).await;
    assert!(plane.get(&id).await.is_ok());
}

#[tokio::test]
async fn where_nobody_answers_an_attempt_waits_for_another_node_and_fails_when_its_own_is_gone() {
    for another in [true, false] {
        let plane = Plane::fresh(&[]).await;
        let mut n1 = FakeAgent::join(&plane, "n1").await;
        n1.crash();
        let follower = plane.prepare(shop()).await;
        let id = follower.id().to_owned();
        let n2 = FakeAgent::start("n2").await;
        if another {
            n2.register(&plane, &[]).await;
            n2.started(&id, 1).await;
            n2.say(&id, 1, [preparing(), ready(), settled()]);
            assert_eq!(
                words(&follower.rest().await)[1..],
                ["PREPARING", "READY", "settled"]
            );
        } else {
            n1.deregister(&plane).await;
            assert_eq!(
                words(&follower.rest().await),
                ["AGENT_RESTARTED", "settled"]
            );
        }
    }
}

#[tokio::test]
async fn who_asked_for_a_node_by_name_waits_for_it_and_so_does_what_has_begun_there() {
    let plane = Plane::fresh(&[]).await;
    let n1 = FakeAgent::join(&plane, "n1").await;
    let n2 = FakeAgent::join(&plane, "n2").await;
    n1.refuse(Some(Code::Unavailable));
    let named = plane.prepare(on("n1")).await.id().to_owned();
    n1.when_started_times(3).await;
    n1.refuse(None);
    n1.started(&named, 1).await;
    n1.say(&named, 1, [preparing(), ready(), settled()]);
    plane.watch(&named, 0).await.rest().await;
    // A new attempt stays where the workspace is.
    n1.refuse(Some(Code::Unavailable));
    let follower = plane.prepare(again(&named)).await;
    n1.when_started_times(6).await;
    n1.refuse(None);
    n1.started(&named, 2).await;
    n1.say(&named, 2, [preparing(), ready(), settled()]);
    assert_eq!(warnings(&follower.rest().await), [""; 0]);
    assert_eq!(n2.starts(), 0);
}

#[tokio::test]
async fn an_attempt_that_no_node_takes_is_passed_on_a_few_times_and_not_for_ever() {
    let plane = Plane::fresh(&[]).await;
    let mut agents = Vec::new();
    for number in 0..6 {
        let agent = FakeAgent::join(&plane, &format!("n{number}")).await;
        agent.refuse(Some(Code::Unavailable));
        agents.push(agent);
    }
    let mut follower = plane.prepare(shop()).await;
    let moved = follower.take(3).await;
    assert_eq!(warnings(&moved).len(), 3);
    let node = plane.get(follower.id()).await.expect("a workspace").node;
    let last = agents.iter().find(|agent| agent.name == node);
    let last = last.expect("one of them");
    last.when_started_times(3).await;
    last.refuse(None);
    last.started(follower.id(), 1).await;
    let tried = agents.iter().filter(|agent| agent.starts() > 0).count();
    assert_eq!(tried, 4);
}

async fn remove(plane: &Plane, name: &str, force: bool) -> Result<(), Status> {
    let name = name.to_owned();
    let request = RemoveNodeRequest { name, force };
    plane.nodes().await.remove_node(request).await.map(|_| ())
}

#[tokio::test]
async fn a_node_is_removed_when_it_is_gone_and_empty_or_by_force() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let unknown = remove(&plane, "n7", true).await.expect_err("a refusal");
    assert_eq!(
        (unknown.code(), reason(&unknown)),
        (Code::NotFound, "NODE_UNKNOWN".into())
    );

    let (_follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    let refused = |status: Result<(), Status>| {
        let status = status.expect_err("a refusal");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        assert_eq!(reason(&status), "NODE_IN_USE");
        status.message().to_owned()
    };
    assert!(refused(remove(&plane, "n1", false).await).contains("is online"));
    agent.deregister(&plane).await;
    assert!(refused(remove(&plane, "n1", false).await).contains("has workspaces, 1 of them"));
    remove(&plane, "n1", true).await.expect("a removal");
    assert!(plane.list_nodes().await.is_empty());
    plane.stop().await;

    let plane = Plane::start(directory.path(), &[]).await;
    assert!(plane.list_nodes().await.is_empty());
    plane.delete(&id, true).await.expect("a deletion");
    // It is no memory of what was removed that brings it back, but its agent.
    assert!(!agent.heartbeat(&plane).await);
    agent.register(&plane, &[]).await;
    remove(&plane, "n1", true).await.expect("a removal");
    agent.register(&plane, &[]).await;
    agent.deregister(&plane).await;
    remove(&plane, "n1", false).await.expect("a removal");
}

#[tokio::test]
async fn a_node_that_was_lost_has_to_register_so_that_what_it_may_not_have_is_removed() {
    let plane = Plane::fresh(&["--node-lease-seconds=1"]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    while states(&plane).await != [NodeState::Lost] {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!agent.heartbeat(&plane).await);
}
