//! What cannot be used is not said to be READY.

use hearth_api::v1::{
    ContainerEnded, FailureReason, GetContainerResponse, ListWorkspacesRequest,
    PrepareWorkspaceRequest, WatchUntil, Workspace, WorkspaceState,
};

use crate::support::{
    agent::FakeAgent,
    events::{container, failed, preparing, ready, recovery, settled, words},
    plane::{Plane, again, shop},
    soon,
    start::{begin, with_agent},
};

/// The state with its reason, as Get, List and a snapshot have it.
async fn seen(plane: &Plane, id: &str) -> (WorkspaceState, Option<FailureReason>) {
    let get = plane.get(id).await.expect("a workspace");
    let request = ListWorkspacesRequest::default();
    let list = plane.workspaces().await.list_workspaces(request).await;
    let list = list.expect("a list").into_inner().workspaces;
    let listed = list.iter().find(|workspace| workspace.id == id);
    let snapshot = plane.watch(id, 0).await.snapshot;
    let told = |workspace: &Workspace| {
        let reason = workspace.failure.as_ref().map(|failure| failure.reason());
        (workspace.state(), reason)
    };
    assert_eq!(listed.map(told), Some(told(&get)));
    assert_eq!(told(&snapshot), told(&get));
    told(&get)
}

const READY: (WorkspaceState, Option<FailureReason>) = (WorkspaceState::Ready, None);

fn lost(reason: FailureReason) -> (WorkspaceState, Option<FailureReason>) {
    (WorkspaceState::Lost, Some(reason))
}

/// A node with a workspace that is ready in the container `c1`.
async fn ready_in_c1() -> (Plane, FakeAgent, String) {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), container("c1"), ready(), settled()]);
    follower.rest().await;
    (plane, agent, id)
}

#[tokio::test]
async fn a_workspace_is_lost_while_its_container_does_not_run() {
    let (plane, agent, id) = ready_in_c1().await;
    let gone = lost(FailureReason::ContainerGone);
    assert_eq!(seen(&plane, &id).await, READY, "nothing was said yet");
    agent.runs(&plane, &["other", "c1"]).await;
    assert_eq!(seen(&plane, &id).await, READY);
    agent.runs(&plane, &["other"]).await;
    assert_eq!(seen(&plane, &id).await, gone);
    agent.heartbeat(&plane).await;
    assert_eq!(seen(&plane, &id).await, gone, "the engine did not answer");
    // The log says what it said.
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(words(&events)[2..], ["READY", "settled"]);
    agent.runs(&plane, &["c1"]).await;
    assert_eq!(seen(&plane, &id).await, READY);
}

#[tokio::test]
async fn a_new_attempt_is_not_lost_because_of_the_container_of_the_one_before() {
    let (plane, agent, id) = ready_in_c1().await;
    agent.runs(&plane, &[]).await;
    let follower = plane.prepare(again(&id)).await;
    agent.started(&id, 2).await;
    agent.say(&id, 2, [preparing(), container("c2"), ready(), settled()]);
    follower.rest().await;
    assert_eq!(seen(&plane, &id).await, READY, "until the node says more");
    agent.runs(&plane, &["c1"]).await;
    assert_eq!(seen(&plane, &id).await, lost(FailureReason::ContainerGone));
}

#[tokio::test]
async fn a_workspace_is_lost_with_its_node_and_back_with_its_node() {
    let (plane, mut agent, id) = ready_in_c1().await;
    agent.runs(&plane, &["c1"]).await;
    agent.deregister(&plane).await;
    assert_eq!(seen(&plane, &id).await, lost(FailureReason::NodeLost));
    agent.restart();
    agent.register(&plane, &[&id]).await;
    assert_eq!(seen(&plane, &id).await, READY);
    // Its container may have ended while nobody watched.
    agent.runs(&plane, &[]).await;
    assert_eq!(seen(&plane, &id).await, lost(FailureReason::ContainerGone));
}

#[tokio::test]
async fn only_what_was_ready_is_lost() {
    let (plane, agent) = with_agent(&[]).await;
    let build = FailureReason::BuildFailed;
    for (kinds, expected) in [
        (vec![], (WorkspaceState::Preparing, None)),
        (vec![failed(build)], (WorkspaceState::Failed, Some(build))),
        (vec![recovery(build)], lost(FailureReason::ContainerGone)),
    ] {
        let (mut follower, id) = begin(&plane, &agent, shop()).await;
        agent.say(&id, 1, [preparing(), container("c1")]);
        let events = kinds.len() + 2;
        agent.say(&id, 1, kinds);
        follower.take(events).await;
        agent.runs(&plane, &[]).await;
        assert_eq!(seen(&plane, &id).await, expected);
    }
}

#[tokio::test]
async fn a_container_that_has_ended_makes_its_workspace_stopped_as_soon_as_its_agent_says_how() {
    let (plane, agent, id) = ready_in_c1().await;
    agent.runs(&plane, &[]).await;
    assert_eq!(seen(&plane, &id).await, lost(FailureReason::ContainerGone));
    agent.says_of_containers(GetContainerResponse {
        running: false,
        ended: Some(ContainerEnded {
            exit_code: 3,
            ..ContainerEnded::default()
        }),
    });
    let stopped = async {
        while plane.get(&id).await.expect("a workspace").state() != WorkspaceState::Stopped {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("its end", stopped).await;
    let workspace = plane.get(&id).await.expect("a workspace");
    let failure = workspace.failure.expect("why");
    assert!(failure.message.contains("exit code 3"), "{failure:?}");
    // What its node says of it later changes nothing, but that it runs.
    agent.runs(&plane, &[]).await;
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(events.len(), 6, "{events:#?}");
}

/// `hearth up` with a request id that was used before ends as it did then.
#[tokio::test]
async fn a_repeated_request_for_a_lost_workspace_ends_where_it_ended() {
    let (plane, agent) = with_agent(&[]).await;
    let request = PrepareWorkspaceRequest {
        request_id: "once".into(),
        until: WatchUntil::Ready.into(),
        ..shop()
    };
    let (follower, id) = begin(&plane, &agent, request.clone()).await;
    agent.say(&id, 1, [preparing(), container("c1"), ready(), settled()]);
    follower.rest().await;
    agent.runs(&plane, &[]).await;
    let again = plane.prepare(request).await;
    assert_eq!(again.snapshot.state(), WorkspaceState::Lost);
    assert_eq!(again.rest().await, []);
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(words(&events)[2..], ["READY", "settled"]);
}
