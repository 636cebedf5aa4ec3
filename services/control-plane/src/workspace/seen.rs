use hearth_api::v1::{Failure, FailureReason, Workspace, WorkspaceState};

use crate::node::{Fleet, Unusable};

/// A workspace as it is now: the log says that it became ready, and the fleet whether it can still be used.
pub(crate) fn seen(fleet: &Fleet, mut workspace: Workspace) -> Workspace {
    let state = workspace.state();
    let Workspace {
        id,
        node,
        container_id,
        ..
    } = &workspace;
    let why = fleet.unusable(node, id, container_id);
    let is_lost = |why: &Unusable| match state {
        WorkspaceState::Ready | WorkspaceState::Recovery => true,
        // It can be started again while there is its node.
        WorkspaceState::Stopping | WorkspaceState::Stopped => *why == Unusable::NodeRemoved,
        _ => false,
    };
    if let Some(why) = why.filter(is_lost) {
        let failure = failure(why, id, node, container_id);
        workspace.set_state(WorkspaceState::Lost);
        workspace.failure = Some(failure);
    }
    workspace
}

fn failure(why: Unusable, id: &str, node: &str, container: &str) -> Failure {
    const OTHERWISE: &str = "or prepare another workspace with `hearth up`";
    let (reason, message) = match why {
        Unusable::NodeLost => (
            FailureReason::NodeLost,
            format!(
                "{node} does not answer; the workspace can be used again when it does. Look after the node, {OTHERWISE}."
            ),
        ),
        Unusable::NodeLeft => (
            FailureReason::NodeLost,
            format!("{node} has left: its agent was stopped. Start it again, {OTHERWISE}."),
        ),
        Unusable::NodeUnavailable => (
            FailureReason::EngineFailed,
            format!(
                "{node} cannot work now, `hearth nodes` says why; the workspace is seen again when it can. Look after the node, {OTHERWISE}."
            ),
        ),
        Unusable::NodeRemoved => (
            FailureReason::NodeLost,
            format!(
                "{node} was removed. Forget the workspace with `hearth rm --force {id}`, {OTHERWISE}."
            ),
        ),
        Unusable::ContainerGone => {
            let short: String = container.chars().take(12).collect();
            let message = format!(
                "Its container {short} on {node} does not run: it was removed, or has ended a moment ago. If \
                 `hearth start {id}` does not bring it back, prepare the workspace anew with: hearth up --workspace {id}"
            );
            (FailureReason::ContainerGone, message)
        }
    };
    Failure {
        reason: reason.into(),
        message,
        ..Failure::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_was_ready_can_be_lost_with_its_node() {
        let fleet = Fleet::new(Duration::from_secs(30), Vec::new());
        for (state, expected) in [
            (WorkspaceState::Pending, WorkspaceState::Pending),
            (WorkspaceState::Preparing, WorkspaceState::Preparing),
            (WorkspaceState::Failed, WorkspaceState::Failed),
            (WorkspaceState::Deleting, WorkspaceState::Deleting),
            (WorkspaceState::Stopped, WorkspaceState::Lost),
            (WorkspaceState::Ready, WorkspaceState::Lost),
            (WorkspaceState::Recovery, WorkspaceState::Lost),
        ] {
            let workspace = Workspace {
                state: state.into(),
                node: "gone".into(),
                ..Workspace::default()
            };
            let seen = seen(&fleet, workspace.clone());
            assert_eq!(seen.state(), expected);
            assert_eq!(seen == workspace, state == expected, "{state:?}");
        }
    }

    #[test]
    fn every_reason_says_what_to_do() {
        for (why, reason, advice) in [
            (
                Unusable::NodeLost,
                FailureReason::NodeLost,
                "Look after the node",
            ),
            (
                Unusable::NodeLeft,
                FailureReason::NodeLost,
                "Start it again",
            ),
            (
                Unusable::NodeRemoved,
                FailureReason::NodeLost,
                "hearth rm --force ws-1",
            ),
            (
                Unusable::ContainerGone,
                FailureReason::ContainerGone,
                "hearth up --workspace ws-1",
            ),
            (
                Unusable::NodeUnavailable,
                FailureReason::EngineFailed,
                "Look after the node",
            ),
        ] {
            let failure = failure(why, "ws-1", "node-1", &"c".repeat(64));
            assert_eq!(failure.reason(), reason);
            assert!(failure.message.contains(advice), "{failure:?}");
            assert!(!failure.message.contains(&"c".repeat(13)), "{failure:?}");
        }
    }
}
