//! What most tests begin with.

use hearth_api::v1::PrepareWorkspaceRequest;

use super::{
    agent::FakeAgent,
    plane::{Follower, Plane},
};

/// A control plane with an empty database and these flags, and an agent that has registered as `n1`.
pub async fn with_agent(flags: &[&str]) -> (Plane, FakeAgent) {
    let plane = Plane::fresh(flags).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    (plane, agent)
}

/// Prepares a workspace and waits until its first attempt is the agent's: the workspace's stream and its id.
pub async fn begin(
    plane: &Plane,
    agent: &FakeAgent,
    request: PrepareWorkspaceRequest,
) -> (Follower, String) {
    let follower = plane.prepare(request).await;
    let id = follower.id().to_owned();
    agent.started(&id, 1).await;
    (follower, id)
}
