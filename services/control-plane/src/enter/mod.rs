//! Who enters a workspace, and where: whether it can be entered, by which agent, and that it is in use meanwhile.

use std::sync::Arc;

use hearth_api::v1::{EnterTarget, Failure, Workspace, WorkspaceState};
use hearth_domain::WorkspaceId;

use crate::{
    access::Caller,
    error::CallError,
    node::{AgentClient, Agents, Fleet},
    workspace::{Use, Uses, Workspaces, seen},
};

/// The way to the agents of workspaces.
pub(crate) struct Entrances {
    workspaces: Arc<Workspaces>,
    fleet: Arc<Fleet>,
    agents: Arc<Agents>,
    uses: Uses,
}

/// An open way.
pub(crate) struct Entrance {
    /// The agent of its node.
    pub(crate) agent: AgentClient,
    pub(crate) target: EnterTarget,
    pub(crate) node: String,
    /// The workspace is in use as long as this is there.
    pub(crate) in_use: Use,
}

impl Entrances {
    pub(crate) fn new(
        workspaces: Arc<Workspaces>,
        fleet: Arc<Fleet>,
        agents: Arc<Agents>,
        uses: Uses,
    ) -> Self {
        Self {
            workspaces,
            fleet,
            agents,
            uses,
        }
    }

    /// The way into a workspace that the caller sees.
    pub(crate) async fn enter(
        &self,
        caller: &Caller,
        id: &WorkspaceId,
    ) -> Result<Entrance, CallError> {
        let record = self.workspaces.find(id).await?;
        if !caller.sees(&record.spec.repository) {
            return Err(CallError::WorkspaceUnknown(id.clone()));
        }
        let workspace = seen(&self.fleet, record.workspace);
        if let Some(why) = closed(&workspace) {
            return Err(CallError::WorkspaceNotReady {
                id: id.clone(),
                why,
            });
        }
        let in_use = self.uses.begin(id);
        let node = workspace.node;
        let agent = self.agents.client(&node).await;
        let agent = agent.map_err(|status| CallError::AgentFailed {
            node: node.clone(),
            why: status.message().to_owned(),
        })?;
        Ok(Entrance {
            agent,
            target: EnterTarget {
                workspace_id: workspace.id,
                container_id: workspace.container_id,
                remote_user: workspace.remote_user,
                remote_folder: workspace.remote_folder,
            },
            node,
            in_use,
        })
    }
}

/// Why a workspace cannot be entered, and what to do.
fn closed(workspace: &Workspace) -> Option<String> {
    let id = &workspace.id;
    let because = || {
        let failure = workspace.failure.as_ref();
        failure.map_or(String::new(), |Failure { message, .. }| {
            format!(": {message}")
        })
    };
    Some(match workspace.state() {
        WorkspaceState::Ready | WorkspaceState::Recovery => {
            return workspace.container_id.is_empty().then(|| {
                format!("has no container; prepare it again with: hearth up --workspace {id}")
            });
        }
        WorkspaceState::Pending | WorkspaceState::Preparing => {
            format!(
                "is being prepared; it can be entered when it is ready: hearth logs {id} --follow"
            )
        }
        WorkspaceState::Lost => format!("cannot be used now{}", because()),
        WorkspaceState::Failed => format!(
            "has failed{}; prepare it again with: hearth up --workspace {id}",
            because()
        ),
        WorkspaceState::Deleting => "is being deleted".to_owned(),
        _ => format!("cannot be entered in its state; `hearth get {id}` says what to do"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_container_and_is_ready_or_in_recovery_is_entered() {
        let of = |state: WorkspaceState, container: &str| {
            closed(&Workspace {
                id: "ws-1".into(),
                container_id: container.into(),
                state: state.into(),
                ..Workspace::default()
            })
        };
        assert_eq!(of(WorkspaceState::Ready, "c"), None);
        assert_eq!(of(WorkspaceState::Recovery, "c"), None);
        for (state, advice) in [
            (WorkspaceState::Pending, "hearth logs ws-1"),
            (WorkspaceState::Preparing, "hearth logs ws-1"),
            (WorkspaceState::Failed, "hearth up --workspace ws-1"),
            (WorkspaceState::Lost, "cannot be used now"),
            (WorkspaceState::Deleting, "deleted"),
        ] {
            let why = of(state, "c").expect("it cannot be entered");
            assert!(why.contains(advice), "{why}");
        }
        let why = of(WorkspaceState::Ready, "").expect("there is no container");
        assert!(why.contains("hearth up --workspace ws-1"), "{why}");
    }
}
