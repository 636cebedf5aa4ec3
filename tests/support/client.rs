//! A client of the control plane.

use hearth_api::v1::{
    self, CacheResult, Event, PrepareWorkspaceRequest, PushOutcome, WatchUntil, Workspace,
    WorkspaceState, event::Kind, node_service_client::NodeServiceClient,
    prepare_workspace_response, secret_service_client::SecretServiceClient,
    start_workspace_response, watch_workspace_response,
    workspace_service_client::WorkspaceServiceClient,
};
use tonic::{Status, Streaming, transport::Channel};

use super::process::PATIENCE;

/// A client; it waits for every message for [`PATIENCE`] at most.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

/// The events of a stream, and the workspace after its end.
#[derive(Debug)]
pub struct Story {
    pub events: Vec<Event>,
    pub workspace: Workspace,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::new(url.to_owned()).expect("a URL");
        Self {
            channel: endpoint.connect_lazy(),
        }
    }

    pub fn workspaces(&self) -> WorkspaceServiceClient<Channel> {
        WorkspaceServiceClient::new(self.channel.clone())
    }

    /// Prepares a workspace and follows it until it has settled.
    pub async fn prepare(&self, node: &str, repository: &str) -> Story {
        self.run(request(node, repository)).await
    }

    /// Begins a new attempt of a workspace and follows it until it has settled.
    pub async fn prepare_anew(&self, workspace_id: &str) -> Story {
        self.run(PrepareWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            until: WatchUntil::Settled.into(),
            ..PrepareWorkspaceRequest::default()
        })
        .await
    }

    /// Sends a request and follows its stream to the end.
    pub async fn run(&self, request: PrepareWorkspaceRequest) -> Story {
        let mut stream = self.begin(request).await.expect("the request is accepted");
        let mut events = Vec::new();
        let mut id = String::new();
        while let Some(message) = next(&mut stream).await {
            match message.message.expect("a message") {
                prepare_workspace_response::Message::Snapshot(snapshot) => id = snapshot.id,
                prepare_workspace_response::Message::Event(event) => events.push(event),
            }
        }
        let workspace = self.get(&id).await;
        Story { events, workspace }
    }

    /// Sends a request; the stream is the caller's to read or to drop.
    pub async fn begin(
        &self,
        request: PrepareWorkspaceRequest,
    ) -> Result<Streaming<v1::PrepareWorkspaceResponse>, Status> {
        Ok(self
            .workspaces()
            .prepare_workspace(request)
            .await?
            .into_inner())
    }

    /// Sends a request and follows it up to the first event that matches: the workspace's id, and the event's sequence.
    pub async fn begin_until(
        &self,
        request: PrepareWorkspaceRequest,
        is_so: impl Fn(&Kind) -> bool,
    ) -> (String, u64) {
        let mut stream = self.begin(request).await.expect("the request is accepted");
        let mut id = String::new();
        while let Some(message) = next(&mut stream).await {
            match message.message.expect("a message") {
                prepare_workspace_response::Message::Snapshot(snapshot) => id = snapshot.id,
                prepare_workspace_response::Message::Event(event) => {
                    if event.kind.as_ref().is_some_and(&is_so) {
                        return (id, event.sequence);
                    }
                }
            }
        }
        panic!("no event matches: {:#?}", self.get(&id).await)
    }

    /// Follows a workspace's log to its end.
    pub async fn watch(&self, workspace_id: &str, after_sequence: u64) -> Story {
        let request = v1::WatchWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            after_sequence,
            until: WatchUntil::Settled.into(),
        };
        let mut stream = self
            .workspaces()
            .watch_workspace(request)
            .await
            .expect("a stream")
            .into_inner();
        let mut events = Vec::new();
        while let Some(message) = next(&mut stream).await {
            if let Some(watch_workspace_response::Message::Event(event)) = message.message {
                events.push(event);
            }
        }
        Story {
            events,
            workspace: self.get(workspace_id).await,
        }
    }

    pub async fn get(&self, workspace_id: &str) -> Workspace {
        self.try_get(workspace_id).await.expect("the workspace")
    }

    pub async fn try_get(&self, workspace_id: &str) -> Result<Workspace, Status> {
        let request = v1::GetWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
        };
        let answer = self.workspaces().get_workspace(request).await?;
        Ok(answer.into_inner().workspace.expect("a workspace"))
    }

    pub async fn delete(&self, workspace_id: &str) {
        let request = v1::DeleteWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            force: false,
        };
        self.workspaces()
            .delete_workspace(request)
            .await
            .expect("the workspace is deleted");
    }

    /// Stops a workspace.
    pub async fn stop(&self, workspace_id: &str) -> Result<Workspace, Status> {
        let request = v1::StopWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
        };
        let answer = self.workspaces().stop_workspace(request).await?;
        Ok(answer.into_inner().workspace.expect("a workspace"))
    }

    /// Starts a workspace; the stream is the caller's to read or to drop.
    pub async fn begin_start(
        &self,
        workspace_id: &str,
    ) -> Result<Streaming<v1::StartWorkspaceResponse>, Status> {
        let request = v1::StartWorkspaceRequest {
            workspace_id: workspace_id.to_owned(),
            until: WatchUntil::Settled.into(),
        };
        Ok(self
            .workspaces()
            .start_workspace(request)
            .await?
            .into_inner())
    }

    /// Starts a workspace and follows it until it has settled.
    pub async fn start(&self, workspace_id: &str) -> Story {
        let stream = self.begin_start(workspace_id).await;
        let mut stream = stream.expect("the request is accepted");
        let mut events = Vec::new();
        while let Some(message) = next(&mut stream).await {
            if let Some(start_workspace_response::Message::Event(event)) = message.message {
                events.push(event);
            }
        }
        let workspace = self.get(workspace_id).await;
        Story { events, workspace }
    }

    /// Waits until a workspace is in a state.
    pub async fn until_state(&self, workspace_id: &str, state: WorkspaceState) -> Workspace {
        let wait = async {
            loop {
                let workspace = self.get(workspace_id).await;
                if workspace.state() == state {
                    return workspace;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(workspace) => workspace,
            Err(_) => panic!("never {state:?}: {:#?}", self.get(workspace_id).await),
        }
    }

    pub fn secret_service(&self) -> SecretServiceClient<Channel> {
        SecretServiceClient::new(self.channel.clone())
    }

    pub fn node_service(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone())
    }

    pub async fn nodes(&self) -> Vec<v1::Node> {
        let answer = self
            .node_service()
            .list_nodes(v1::ListNodesRequest {})
            .await
            .expect("the nodes");
        answer.into_inner().nodes
    }
}

/// A request for a workspace on a node.
pub fn request(node: &str, repository: &str) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        spec: Some(v1::WorkspaceSpec {
            repository: repository.to_owned(),
            ..v1::WorkspaceSpec::default()
        }),
        node: node.to_owned(),
        until: WatchUntil::Settled.into(),
        ..PrepareWorkspaceRequest::default()
    }
}

/// The next message, or the end; a broken stream is a failure.
pub async fn next<T>(stream: &mut Streaming<T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, stream.message())
        .await
        .expect("the stream goes on")
        .expect("the stream does not break")
}

impl Story {
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.events.iter().filter_map(|event| event.kind.as_ref())
    }

    /// What warnings say.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.kinds().filter_map(|kind| match kind {
            Kind::Warning(warning) => Some(&*warning.message),
            _ => None,
        })
    }

    /// States in their order.
    pub fn states(&self) -> Vec<WorkspaceState> {
        self.kinds()
            .filter_map(|kind| match kind {
                Kind::StateChanged(changed) => Some(changed.state()),
                _ => None,
            })
            .collect()
    }

    /// Position of the first event that matches.
    pub fn position(&self, is_so: impl Fn(&Kind) -> bool) -> Option<usize> {
        self.kinds().position(is_so)
    }

    pub fn cache(&self) -> v1::CacheReport {
        self.workspace.cache.clone().expect("a cache report")
    }

    pub fn result(&self) -> CacheResult {
        self.cache().result()
    }

    pub fn push(&self) -> PushOutcome {
        self.workspace
            .push
            .as_ref()
            .expect("a push report")
            .outcome()
    }

    /// Digest of the image in the registry.
    pub fn pushed_digest(&self) -> String {
        let push = self.workspace.push.as_ref();
        push.expect("a push report").digest.clone()
    }

    /// Panics unless the workspace is in this state.
    #[track_caller]
    pub fn assert_state(&self, state: WorkspaceState) {
        assert_eq!(self.workspace.state(), state, "{:#?}", self.workspace);
    }

    /// Panics unless the cache came to this result.
    #[track_caller]
    pub fn assert_result(&self, result: CacheResult) {
        assert_eq!(self.result(), result, "{:?}", self.cache());
    }

    /// Panics unless the push ended like this.
    #[track_caller]
    pub fn assert_push(&self, outcome: PushOutcome) {
        assert_eq!(self.push(), outcome, "{:?}", self.workspace.push);
    }

    /// Panics unless the log is whole: numbered without gaps, every step closed, the end last.
    #[track_caller]
    pub fn assert_whole(&self) {
        for (event, expected) in self.events.iter().zip(self.events[0].sequence..) {
            assert_eq!(event.sequence, expected, "{event:?}");
        }
        let mut open = std::collections::BTreeSet::new();
        for kind in self.kinds() {
            match kind {
                Kind::StepStarted(step) => assert!(open.insert(step.step), "{step:?} began twice"),
                Kind::StepFinished(step) => {
                    assert!(open.remove(&step.step), "{step:?} ended unbegun")
                }
                _ => {}
            }
        }
        assert!(open.is_empty(), "steps left open: {open:?}");
        assert!(
            matches!(self.kinds().last(), Some(Kind::Settled(_))),
            "{:?}",
            self.events.last()
        );
    }
}
