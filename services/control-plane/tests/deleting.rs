//! What is deleted is gone, and what cannot be deleted says so.

use hearth_api::v1::{PipelineStep, WorkspaceState};
use tonic::Code;

use crate::support::{
    agent::Removal,
    events::{preparing, ready, settled, started, words},
    plane::{again, shop},
    soon,
    start::{begin, with_agent},
};

#[tokio::test]
async fn deleting_a_running_workspace_ends_its_attempt_and_every_stream() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), started(PipelineStep::Image)]);
    follower.take(2).await;
    agent.on_removal(Removal::Hangs);
    let ended = async {
        assert_eq!(
            words(&follower.rest().await),
            ["broken off", "REPLACED", "settled"]
        );
        agent.asked_to_remove(&id).await;
    };
    tokio::select! {
        _ = plane.delete(&id, false) => panic!("the removal hangs"),
        () = ended => {}
    }
    let status = plane
        .try_prepare(again(&id))
        .await
        .err()
        .expect("a refusal");
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_deleted_workspace_is_not_found_and_its_request_id_is_free() {
    let (plane, agent) = with_agent(&[]).await;
    let mut request = shop();
    request.request_id = "once".into();
    let (follower, id) = begin(&plane, &agent, request.clone()).await;
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    follower.rest().await;
    let (one, two) = tokio::join!(plane.delete(&id, false), plane.delete(&id, false));
    // The second waits for the first, unless it comes when that is done.
    for result in [&one, &two] {
        assert!(
            result.as_ref().is_ok_and(|()| true)
                || result.as_ref().is_err_and(|s| s.code() == Code::NotFound)
        );
    }
    assert!(one.is_ok() || two.is_ok());
    agent.asked_to_remove(&id).await;
    let status = plane.get(&id).await.expect_err("it is gone");
    assert_eq!(status.code(), Code::NotFound);
    let status = plane.delete(&id, false).await.expect_err("it is gone");
    assert_eq!(status.code(), Code::NotFound);
    assert_ne!(plane.prepare(request).await.id(), id);
}

#[tokio::test]
async fn a_node_that_cannot_remove_a_workspace_keeps_it_and_a_second_deletion_tries_again() {
    let (plane, agent) = with_agent(&[]).await;
    let (_follower, id) = begin(&plane, &agent, shop()).await;
    agent.on_removal(Removal::Fails);
    let status = plane
        .delete(&id, false)
        .await
        .expect_err("the engine is down");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the engine does not answer"));
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Deleting);
    agent.on_removal(Removal::Works);
    plane.delete(&id, false).await.expect("a deletion");
}

#[tokio::test]
async fn a_workspace_on_a_dead_node_is_forgotten_only_by_force() {
    let (plane, mut agent) = with_agent(&["--node-lease-seconds=2"]).await;
    let (_follower, id) = begin(&plane, &agent, shop()).await;
    agent.crash();
    let status = plane
        .delete(&id, false)
        .await
        .expect_err("there is no answer");
    assert_eq!(status.code(), Code::Unavailable);
    let advice = "try again when it is back, or delete the workspace with --force";
    assert!(status.message().contains(advice), "{status:?}");
    plane.delete(&id, true).await.expect("a deletion by force");
    assert!(plane.get(&id).await.is_err());
    // It was decided: the node is told when it is back.
    agent.restart();
    let registered = agent.register(&plane, &[&id]).await;
    assert_eq!(registered.unknown_workspace_ids, Vec::<String>::new());
    agent.asked_to_remove(&id).await;
}

#[tokio::test]
async fn a_deletion_waits_for_an_agent_that_is_being_restarted() {
    let (plane, mut agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    follower.rest().await;
    // It cannot be called before it has registered.
    agent.restart();
    let registered = async {
        let deleting = async {
            while plane.get(&id).await.expect("a workspace").state() != WorkspaceState::Deleting {}
        };
        soon("the deletion's begin", deleting).await;
        agent.register(&plane, &[]).await;
    };
    let (deleted, ()) = tokio::join!(plane.delete(&id, false), registered);
    deleted.expect("a deletion");
    agent.asked_to_remove(&id).await;
}

#[tokio::test]
async fn a_node_that_comes_back_is_put_in_order() {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    follower.rest().await;
    let other = plane.prepare(shop()).await;
    let other_id = other.id().to_owned();
    agent.started(&other_id, 1).await;
    agent.on_removal(Removal::Fails);
    plane
        .delete(&id, false)
        .await
        .expect_err("the engine is down");

    agent.on_removal(Removal::Works);
    let registered = agent
        .register(&plane, &[&id, &other_id, "ws-unknown"])
        .await;
    assert_eq!(registered.unknown_workspace_ids, ["ws-unknown"]);
    let gone = async { while plane.get(&id).await.is_ok() {} };
    soon("the end of the deletion", gone).await;
    assert!(!agent.was_asked_to_remove("ws-unknown"));
    // What is known stays.
    agent.say(&other_id, 1, [preparing(), ready(), settled()]);
    assert_eq!(
        words(&other.rest().await),
        ["PREPARING", "READY", "settled"]
    );
}
