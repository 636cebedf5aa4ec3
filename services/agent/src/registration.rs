use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ConstantBuilder};
use hearth_api::v1::{
    self, DeregisterRequest, HeartbeatRequest, HeartbeatResponse, ImageStore, NodeContainers,
    NodeInfo, RegisterRequest, RegisterResponse,
};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{
    FieldFaults,
    contract::{attempt, attempt_message},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    attempt::Attempts,
    default_images::ToldImages,
    disk::DiskKeeper,
    engine_health::{ANSWER, EngineHealth},
    external::{
        control_plane::{ControlPlaneClient, Retries},
        engine::{Engine, EngineInfo},
    },
    leftovers::Leftovers,
    owners::Owners,
    scratch::Leftover,
};

/// Time between heartbeats when the control plane does not set one.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a heartbeat waits for the engine.
const LIST_CONTAINERS: Duration = Duration::from_secs(2);
/// How long the agent's end waits for the control plane to hear of it.
const DEREGISTER: Duration = Duration::from_secs(3);

/// Registers the node with the control plane and sends heartbeats.
pub struct Registration {
    /// The control plane.
    pub control_plane: ControlPlaneClient,
    /// Name of the node.
    pub node: String,
    /// Description of the node and its agent.
    pub info: NodeInfo,
    /// Measures free disk.
    pub disk: Arc<DiskKeeper>,
    /// Whether the node can work.
    pub health: EngineHealth,
    /// Lists the workspaces of the node and their containers.
    pub engine: Arc<dyn Engine>,
    /// The attempts of the node.
    pub attempts: Attempts,
    /// Whose the workspaces of the node are.
    pub owners: Owners,
    /// Removes workspaces at the end of their quarantine.
    pub leftovers: Arc<Leftovers>,
    /// Folder of the attempts.
    pub attempts_dir: PathBuf,
    /// Images that the control plane names.
    pub told_images: ToldImages,
}

impl Registration {
    /// Registers, and sends heartbeats until the control plane has forgotten the node or refuses its session; then
    /// registers again. At the end it says that the node leaves.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                let interval = self.register().await;
                tokio::select! {
                    () = self.heartbeats(interval) => {}
                    () = self.control_plane.session().is_refused() => {}
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => self.deregister().await,
            () = work => {}
        }
    }

    /// A control plane that does not hear it loses the node a little later.
    async fn deregister(&self) {
        let request = DeregisterRequest {
            node: self.node.clone(),
            boot_id: self.info.boot_id.clone(),
        };
        let call = self.control_plane.deregister(request);
        match tokio::time::timeout(DEREGISTER, call).await {
            Ok(Ok(())) => tracing::info!(node = self.node, "left the control plane"),
            Ok(Err(status)) => tracing::warn!(
                code = %status.code(),
                "the control plane was not told that the node leaves: {}",
                status.message()
            ),
            Err(_) => tracing::warn!(
                "the control plane was not told that the node leaves: it does not answer"
            ),
        }
    }

    async fn register(&self) -> Duration {
        let mut retries = Retries::up_to(RETRY_MAX);
        loop {
            match self.try_register().await {
                Ok(interval) => {
                    tracing::info!(node = self.node, "registered at the control plane");
                    return interval;
                }
                Err(why) => {
                    if retries.is_news(&why) {
                        tracing::warn!("registration failed, trying again: {why}");
                    }
                    retries.pause().await;
                }
            }
        }
    }

    async fn try_register(&self) -> Result<Duration, String> {
        let workspaces = tokio::time::timeout(ANSWER, self.engine.workspaces()).await;
        let (workspaces, problem) = match workspaces {
            Ok(Ok(workspaces)) => (workspaces, None),
            // The node is there, and says what is wrong. It registers again when the engine is back.
            failed => match self.health.check(self.engine.as_ref()).await {
                Some(problem) => (Vec::new(), Some(problem)),
                None => {
                    return Err(match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "the engine does not list the workspaces".to_owned(),
                    });
                }
            },
        };
        let request = RegisterRequest {
            node: self.node.clone(),
            info: Some(NodeInfo {
                disk_free_bytes: self.free_disk(),
                problem: problem.unwrap_or_default(),
                ..self.info.clone()
            }),
            workspace_ids: workspaces.iter().map(ToString::to_string).collect(),
        };
        let was_listed = request
            .info
            .as_ref()
            .is_some_and(|info| info.problem.is_empty());
        let answer = self
            .control_plane
            .register(request)
            .await
            .map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        self.told_images.learn(&answer.default_images);
        if was_listed {
            self.note_owners(&answer, workspaces).await;
        }
        Ok(match answer.heartbeat_seconds {
            0 => FIRST_INTERVAL,
            seconds => Duration::from_secs(seconds.into()),
        })
    }

    /// Notes which of the `workspaces` of the node the control plane knows.
    async fn note_owners(&self, answer: &RegisterResponse, mut workspaces: Vec<WorkspaceId>) {
        let unknown: BTreeSet<String> = answer.unknown_workspace_ids.iter().cloned().collect();
        if !unknown.is_empty()
            // One of them may have been deleted while the control plane looked.
            && let Ok(Ok(present)) = tokio::time::timeout(ANSWER, self.engine.workspaces()).await
        {
            workspaces = present;
        }
        let preparing = self.attempts.preparing();
        self.owners
            .registered(&answer.control_plane_id, &workspaces, &preparing, &unknown)
            .await;
    }

    /// Sends heartbeats, and one at once when the engine fails. Returns when the control plane answers that it does not know
    /// the node or its session, and when the engine is back: the control plane then repeats the removals that have failed.
    async fn heartbeats(&self, interval: Duration) {
        // Nodes that registered at the same moment beat at different ones.
        let first = ConstantBuilder::new()
            .with_delay(interval / 2)
            .with_jitter();
        let mut pause = first.build().next().unwrap_or(interval);
        let mut lost = false;
        let mut heard = Instant::now();
        let mut problem = self.health.problem();
        loop {
            let pause = std::mem::replace(&mut pause, interval);
            if let Ok(changed) = tokio::time::timeout(pause, problem.changed()).await
                && (changed.is_err() || problem.borrow_and_update().is_none())
            {
                return;
            }
            let why = problem.borrow_and_update().clone();
            let preparing = self.attempts.preparing();
            let unconfirmed = self.owners.unconfirmed(&preparing);
            let request = HeartbeatRequest {
                node: self.node.clone(),
                boot_id: self.info.boot_id.clone(),
                disk_free_bytes: self.free_disk(),
                // After the attempts: a workspace that becomes ready in between is in one of the two.
                containers: match why {
                    Some(_) => None,
                    None => self.containers(&preparing).await,
                },
                problem: why.unwrap_or_default(),
                preparing_attempts: preparing.iter().map(attempt_message).collect(),
                unconfirmed_attempts: unconfirmed.iter().map(attempt_message).collect(),
                quarantined: self.owners.quarantined(),
                trust: self.control_plane.trust(),
            };
            match self.control_plane.heartbeat(request).await {
                Ok(answer) if answer.known => {
                    if lost {
                        tracing::info!("the control plane answers again");
                        lost = false;
                    }
                    self.end(&answer.ended_attempts);
                    self.owners
                        .confirmed(&attempts(&answer.confirmed_attempts))
                        .await;
                    let since = std::mem::replace(&mut heard, Instant::now()).elapsed();
                    if self.is_another(&answer, since.min(interval * 2)).await {
                        return;
                    }
                }
                Ok(_) => return,
                // The control plane has forgotten the session, or another process began one for this node.
                Err(status) if status.code() == Code::Unauthenticated => return,
                Err(status) => {
                    if !lost {
                        tracing::warn!(code = %status.code(), "the control plane does not answer: {}", status.message());
                        lost = true;
                    }
                }
            }
        }
    }

    /// Whether another control plane answers than the one that the node is registered with. If not, the time `since` the last
    /// answer counts for workspaces in quarantine, and those are removed for which it has ended.
    async fn is_another(&self, answer: &HeartbeatResponse, since: Duration) -> bool {
        let heard = self.owners.heard(&answer.control_plane_id, since).await;
        for workspace in heard.to_remove {
            tracing::warn!(
                workspace.id = %workspace,
                "the control plane has not known this workspace for the time of its quarantine; it is removed"
            );
            self.leftovers
                .add(Leftover::of_workspace(&self.attempts_dir, workspace));
        }
        heard.is_another
    }

    /// Ends attempts that the control plane gave up while it heard nothing of them.
    fn end(&self, ended: &[v1::AttemptRef]) {
        for attempt in attempts(ended) {
            if self.attempts.end(&attempt) {
                tracing::warn!(
                    workspace.id = %attempt.workspace,
                    attempt = attempt.number,
                    "the control plane has ended the attempt; it ends here too"
                );
            }
        }
    }

    /// What runs. `None` when the engine does not say: a heartbeat does not wait for it.
    async fn containers(&self, preparing: &[AttemptRef]) -> Option<NodeContainers> {
        let running = self.engine.running_containers();
        match tokio::time::timeout(LIST_CONTAINERS, running).await {
            Ok(Ok(running_container_ids)) => Some(NodeContainers {
                running_container_ids,
                preparing_workspace_ids: preparing
                    .iter()
                    .map(|attempt| attempt.workspace.to_string())
                    .collect(),
            }),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the containers of workspaces are not watched now");
                None
            }
            Err(_) => {
                tracing::warn!(
                    "the containers of workspaces are not watched now: the engine does not answer"
                );
                None
            }
        }
    }

    fn free_disk(&self) -> u64 {
        self.disk.free_bytes().unwrap_or_default()
    }
}

/// What the control plane is told of the node.
pub fn node_info(info: &EngineInfo, cli_version: &str) -> NodeInfo {
    NodeInfo {
        boot_id: uuid::Uuid::new_v4().to_string(),
        platform: info.platform.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: info.version.clone(),
        image_store: ImageStore::into(info.store),
        devcontainer_cli_version: cli_version.to_owned(),
        cpus: info.cpus,
        memory_bytes: info.memory_bytes,
        ..NodeInfo::default()
    }
}

/// The attempts that a control plane names.
fn attempts(messages: &[v1::AttemptRef]) -> Vec<AttemptRef> {
    let read = |message| attempt(Some(message), &mut FieldFaults::default());
    messages.iter().filter_map(read).collect()
}
