//! Control plane, agents and clients of different versions work together: of the contract of the newest release, and of one that
//! has more than this one. Both directions are in each test, since each end takes the other for another version.

use hearth_api::v1::{CacheResult, ListWorkspacesRequest, NodeState, PushOutcome, WorkspaceState};

use crate::{
    fleet::{Fleet, Stop, repository},
    speech::Version,
};

#[tokio::test]
async fn a_version_that_knows_less_and_one_that_knows_more_prepare_workspaces_together() {
    for version in [Version::Released, Version::Later] {
        let mut fleet = Fleet::speaking(version, 2).await;
        let cold = fleet.prepare([("node-1", &*repository(1))]);
        let cold = cold.stories().await.remove(0);
        cold.assert_state(WorkspaceState::Ready);
        cold.assert_result(CacheResult::Miss);
        // The image is in the registry, whatever the end of the push is called.
        if version == Version::Released {
            cold.assert_push(PushOutcome::Pushed);
        }
        let warm = fleet.prepare([("node-2", &*repository(1))]);
        let warm = warm.stories().await.remove(0);
        warm.assert_state(WorkspaceState::Ready);
        warm.assert_result(CacheResult::Exact);

        // An attempt goes on over restarts of either end.
        fleet.builds.hold();
        let begun = fleet.builds.begun().len();
        let preparing = fleet.prepare([("node-1", &*repository(2))]);
        fleet.builds.until_begun(begun + 1).await;
        fleet.restart_control_plane(Stop::Killed).await;
        fleet.builds.let_go();
        let story = preparing.stories().await.remove(0);
        story.assert_state(WorkspaceState::Ready);

        let node = fleet.node("node-2");
        // A control plane that does not know the call loses the node a little later.
        node.stop().await;
        node.start().await;
        for name in ["node-1", "node-2"] {
            fleet.until_heard(name).await;
        }
        let nodes = fleet.client.nodes().await;
        let online = |node: &hearth_api::v1::Node| node.state() == NodeState::Online;
        assert!(nodes.len() == 2 && nodes.iter().all(online), "{nodes:#?}");
        let id = &warm.workspace.id;
        fleet.client.delete(id).await;
        assert!(!fleet.node("node-2").engine.has(id));
        let mut client = fleet.client.workspaces();
        let listed = client.list_workspaces(ListWorkspacesRequest::default());
        let left = listed.await.expect("a list").into_inner().workspaces;
        assert_eq!(left.len(), 2, "{version:?}: {left:#?}");

        let speech = fleet.speech();
        assert!(speech.changed() > 0, "nothing was said in another way");
        let is_released = version == Version::Released;
        assert_eq!(speech.unknown() > 0, is_released, "{}", speech.unknown());
    }
}
