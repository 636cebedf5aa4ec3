mod configs;
mod enter;
mod life;
mod request;

use std::sync::Arc;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use hearth_api::v1::{
    AgentServiceExecRequest, AgentServiceExecResponse, AgentServiceGetBuildLogRequest,
    AgentServiceGetBuildLogResponse, AgentServiceListConfigsRequest,
    AgentServiceListConfigsResponse, AgentServiceOpenSshRequest, AgentServiceOpenSshResponse,
    AgentServicePortForwardRequest, AgentServicePortForwardResponse,
    AgentServicePrepareWorkspaceRequest, AgentServicePrepareWorkspaceResponse,
    AgentServiceStartWorkspaceRequest, AgentServiceStartWorkspaceResponse,
    AgentServiceStopWorkspaceRequest, AgentServiceStopWorkspaceResponse, AttemptAccepted, Event,
    GetContainerRequest, GetContainerResponse, RemoveWorkspaceRequest, RemoveWorkspaceResponse,
    agent_service_prepare_workspace_response as prepare, agent_service_server::AgentService,
    agent_service_start_workspace_response as started,
};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{FieldFaults, Reason, Tasks, contract, status};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use self::enter::Answers;
use crate::{
    attempt::{AttemptError, AttemptLog, Attempts, follow},
    build_log::pieces,
    configurations::Configurations,
    enter::Entering,
    external::engine::EngineFailure,
    owners::Owners,
    pipeline::{Job, Runner},
};

use life::refuse;

pub use life::Stops;

/// `hearth.v1.AgentService`; the contract in `proto/` documents the calls.
pub struct Agent {
    /// All attempts of the node.
    pub attempts: Attempts,
    /// The stops of workspaces that go on.
    pub stops: Stops,
    /// The way into workspaces.
    pub entering: Arc<Entering>,
    /// Runs an attempt.
    pub runner: Arc<Runner>,
    /// Whose the workspaces of the node are.
    pub owners: Owners,
    /// Finds configurations of repositories.
    pub configurations: Configurations,
    /// The owner of all tasks.
    pub tasks: Tasks,
    /// Identifies this process; `Register` sends it too.
    pub boot_id: String,
}

impl Agent {
    fn start(&self, job: Job) -> Result<Arc<AttemptLog>, AttemptError> {
        let attempt = job.attempt.clone();
        let newest = self.owners.newest(&attempt.workspace);
        if newest > attempt.number {
            // From before a restart of this agent: the control plane has an older copy of its database.
            return Err(AttemptError::Outdated { newest });
        }
        let (runner, stops) = (self.runner.clone(), self.stops.clone());
        let shutdown = self.tasks.stopping().clone();
        self.attempts.start(&attempt, move |log, stop| async move {
            // What is being stopped cannot be started.
            stops.stop(&job.attempt.workspace).await;
            runner.run(&job, log, &stop, &shutdown).await;
        })
    }

    /// The log of the attempt of a job: begun, unless only its events after a sequence are asked for.
    fn follow(&self, job: Job, after: u64) -> Result<BoxStream<'static, Event>, Status> {
        let log = match after {
            0 => self.start(job),
            _ => self.attempts.log(&job.attempt),
        };
        Ok(follow(log.map_err(refuse)?, after).boxed())
    }

    fn accepted(&self) -> AttemptAccepted {
        AttemptAccepted {
            boot_id: self.boot_id.clone(),
        }
    }

    /// Removes what there is of a workspace: of this attempt at most, if one is given.
    async fn remove(&self, workspace: WorkspaceId, attempt: u32) -> Result<(), EngineFailure> {
        if attempt == 0 {
            self.attempts.stop(&workspace).await;
            return remove(&self.runner, &workspace).await;
        }
        let attempt = AttemptRef {
            workspace,
            number: attempt,
        };
        if self.owners.outlasts(&attempt) {
            tracing::warn!(
                workspace.id = %attempt.workspace,
                attempt = attempt.number,
                "the control plane takes this attempt for failed, and had said that it made a workspace: its database is an older copy; the workspace stays"
            );
            return Ok(());
        }
        let (done, removed) = oneshot::channel();
        let (runner, workspace) = (self.runner.clone(), attempt.workspace.clone());
        let taken_back = self.attempts.take_back(&attempt, async move || {
            // Who called may be gone.
            let _ = done.send(remove(&runner, &workspace).await);
        });
        match taken_back {
            // A newer attempt may begin meanwhile, which removes it itself.
            Ok(()) => removed.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }
}

async fn remove(runner: &Runner, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
    let node = &runner.node;
    let mut problem = node.engine.problem();
    let removed = tokio::select! {
        removed = runner.leftovers.remove_workspace(workspace) => removed,
        // Nobody waits for an engine that does not answer.
        Ok(problem) = problem.wait_for(Option::is_some) => Err(EngineFailure {
            action: "remove the workspace",
            cause: format!("{}; it is removed when the engine answers", problem.as_deref().unwrap_or_default()),
        }),
    };
    node.disk.wake();
    node.build_logs.remove(workspace).await;
    removed
}

#[tonic::async_trait]
impl AgentService for Agent {
    type PrepareWorkspaceStream =
        BoxStream<'static, Result<AgentServicePrepareWorkspaceResponse, Status>>;
    type ExecStream = Answers<AgentServiceExecResponse>;
    type OpenSshStream = Answers<AgentServiceOpenSshResponse>;
    type PortForwardStream = Answers<AgentServicePortForwardResponse>;

    async fn prepare_workspace(
        &self,
        request: Request<AgentServicePrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let request = request.into_inner();
        let events = self.follow(request::job(&request)?, request.after_sequence)?;
        let accepted = prepare::Message::Accepted(self.accepted());
        let events = events.map(prepare::Message::Event);
        let messages = stream::iter([accepted]).chain(events).map(|message| {
            Ok(AgentServicePrepareWorkspaceResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(messages.boxed()))
    }

    type GetBuildLogStream = BoxStream<'static, Result<AgentServiceGetBuildLogResponse, Status>>;

    async fn list_configs(
        &self,
        request: Request<AgentServiceListConfigsRequest>,
    ) -> Result<Response<AgentServiceListConfigsResponse>, Status> {
        let (repository, git_ref, login) = configs::wanted(request.into_inner())?;
        let listing = self.configurations.list(repository, git_ref, login).await;
        let listing = listing.map_err(|failure| configs::refused(&failure))?;
        Ok(Response::new(configs::response(listing)))
    }

    async fn get_build_log(
        &self,
        request: Request<AgentServiceGetBuildLogRequest>,
    ) -> Result<Response<Self::GetBuildLogStream>, Status> {
        let mut faults = FieldFaults::default();
        let workspace = request.into_inner().workspace_id;
        let workspace = faults.check("workspace_id", workspace.parse::<WorkspaceId>());
        let workspace = faults.complete(workspace)?;
        let log = self.runner.node.build_logs.read(&workspace).await;
        let Some((attempt, text)) = log else {
            return Err(status(
                Reason::BuildLogUnknown,
                "no image was built for this workspace, or the log of its build is not kept any more",
            ));
        };
        let pieces: Vec<_> = pieces(&text)
            .map(|text| Ok(AgentServiceGetBuildLogResponse { attempt, text }))
            .collect();
        Ok(Response::new(stream::iter(pieces).boxed()))
    }

    type StartWorkspaceStream =
        BoxStream<'static, Result<AgentServiceStartWorkspaceResponse, Status>>;

    async fn start_workspace(
        &self,
        request: Request<AgentServiceStartWorkspaceRequest>,
    ) -> Result<Response<Self::StartWorkspaceStream>, Status> {
        let request = request.into_inner();
        let events = self.follow(request::start_job(&request)?, request.after_sequence)?;
        let accepted = started::Message::Accepted(self.accepted());
        let events = events.map(started::Message::Event);
        let messages = stream::iter([accepted]).chain(events).map(|message| {
            Ok(AgentServiceStartWorkspaceResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn stop_workspace(
        &self,
        request: Request<AgentServiceStopWorkspaceRequest>,
    ) -> Result<Response<AgentServiceStopWorkspaceResponse>, Status> {
        let mut faults = FieldFaults::default();
        let request = request.into_inner();
        let attempt = contract::attempt(request.attempt.as_ref(), &mut faults);
        let attempt = faults.complete(attempt)?;
        let node = life::Node {
            attempts: &self.attempts,
            stops: &self.stops,
            runner: &self.runner,
            owners: &self.owners,
        };
        life::stop(&node, attempt, request.start).await?;
        Ok(Response::new(AgentServiceStopWorkspaceResponse {}))
    }

    async fn get_container(
        &self,
        request: Request<GetContainerRequest>,
    ) -> Result<Response<GetContainerResponse>, Status> {
        let mut faults = FieldFaults::default();
        let request = request.into_inner();
        let workspace = faults.check("workspace_id", request.workspace_id.parse());
        let container = request::container_id(request.container_id, &mut faults);
        let (workspace, container) = faults.complete(workspace.zip(container))?;
        let known = life::container(&self.runner, &workspace, container).await?;
        Ok(Response::new(known))
    }

    async fn remove_workspace(
        &self,
        request: Request<RemoveWorkspaceRequest>,
    ) -> Result<Response<RemoveWorkspaceResponse>, Status> {
        let mut faults = FieldFaults::default();
        let request = request.into_inner();
        let workspace = faults.check("workspace_id", request.workspace_id.parse());
        let workspace = faults.complete(workspace)?;
        self.remove(workspace, request.attempt)
            .await
            .map_err(|error| status(Reason::EngineFailed, error.to_string()))?;
        Ok(Response::new(RemoveWorkspaceResponse {}))
    }

    async fn exec(
        &self,
        request: Request<Streaming<AgentServiceExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let answers = enter::exec(&self.entering, request.into_inner()).await?;
        Ok(Response::new(answers))
    }

    async fn open_ssh(
        &self,
        request: Request<Streaming<AgentServiceOpenSshRequest>>,
    ) -> Result<Response<Self::OpenSshStream>, Status> {
        let answers = enter::open_ssh(&self.entering, request.into_inner()).await?;
        Ok(Response::new(answers))
    }

    async fn port_forward(
        &self,
        request: Request<Streaming<AgentServicePortForwardRequest>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        let answers = enter::port_forward(&self.entering, request.into_inner()).await?;
        Ok(Response::new(answers))
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
