//! A scripted agent on a real connection: it says what the test tells it to, and holds the control plane to the contract
//! of `AgentService`. It runs in a runtime of its own, so that a crash takes its connections along.

mod service;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream, try_unfold},
};
use hearth_api::v1::{
    AgentServiceGetBuildLogRequest, AgentServiceGetBuildLogResponse,
    AgentServiceListConfigsRequest, AgentServiceListConfigsResponse,
    AgentServicePrepareWorkspaceRequest as Asked, AgentServicePrepareWorkspaceResponse as Answer,
    AgentServiceStartWorkspaceRequest, AgentServiceStartWorkspaceResponse,
    AgentServiceStopWorkspaceRequest, AgentServiceStopWorkspaceResponse, AttemptAccepted,
    AttemptRef, CacheSkipReason, DeregisterRequest, Event, GetContainerRequest,
    GetContainerResponse, HeartbeatRequest, ImageStore, NodeContainers, NodeInfo, RegisterRequest,
    RegisterResponse, RemoveWorkspaceRequest, RemoveWorkspaceResponse,
    agent_service_prepare_workspace_response::Message,
    agent_service_server::{AgentService, AgentServiceServer},
    event::Kind,
};
use hearth_runtime::serve_tunnel;
use tokio::{
    runtime::Runtime,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes};

use self::service::{Service, Shared, State, shared};
use super::{PATIENCE, plane::Plane, soon};

/// What the agent does when it is asked to remove a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Works,
    Fails,
    Hangs,
}

pub struct FakeAgent {
    pub name: String,
    pub boot_id: String,
    pub platform: String,
    pub store: ImageStore,
    boots: u32,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    /// Keeps the connection open by which the control plane calls.
    connection: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl FakeAgent {
    /// An agent that is not registered.
    pub async fn start(name: &str) -> Self {
        let mut agent = Self {
            name: name.into(),
            boot_id: String::new(),
            platform: "linux/amd64".into(),
            store: ImageStore::Containerd,
            boots: 0,
            shared: shared(""),
            runtime: None,
            connection: parking_lot::Mutex::default(),
        };
        agent.boot();
        agent
    }

    /// An agent that is registered.
    pub async fn join(plane: &Plane, name: &str) -> Self {
        let agent = Self::start(name).await;
        agent.register(plane, &[]).await;
        agent
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.boot_id = format!("{}-boot-{}", self.name, self.boots);
        self.shared = shared(&self.boot_id);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        self.runtime = Some(runtime);
    }

    /// Opens the connection by which the control plane calls, and opens it again whenever it ends: that of a control plane
    /// that was started again, too. When another one is asked for, both serve.
    fn keep_connected(&self, plane: &Plane) {
        let routes = Routes::new(AgentServiceServer::new(Service(self.shared.clone())));
        let (session, shared) = (plane.session_of(&self.name), self.shared.clone());
        let kept = async move {
            let mut serving = JoinSet::new();
            loop {
                if let Ok((tunnel, asked_for_another)) = session.open_connection().await {
                    shared.change(|state| state.connections += 1);
                    let (routes, end) = (routes.clone(), CancellationToken::new());
                    let ended = end.clone();
                    serving.spawn(async move {
                        let _end = end.drop_guard();
                        let _ = serve_tunnel(tunnel, routes, &CancellationToken::new()).await;
                    });
                    tokio::select! {
                        () = ended.cancelled() => {}
                        () = asked_for_another.cancelled() => {}
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let runtime = self.runtime.as_ref().expect("it runs");
        let before = self.connection.lock().replace(runtime.spawn(kept));
        if let Some(before) = before {
            before.abort();
        }
    }

    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            boot_id: self.boot_id.clone(),
            platform: self.platform.clone(),
            image_store: self.store.into(),
            ..NodeInfo::default()
        }
    }

    pub async fn register(&self, plane: &Plane, workspace_ids: &[&str]) -> RegisterResponse {
        let request = RegisterRequest {
            node: self.name.clone(),
            info: Some(self.info()),
            workspace_ids: workspace_ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        let response = plane.registry().await.register(request).await;
        let response = response.expect("a registration").into_inner();
        plane.began(&self.name, &response.session_token);
        self.keep_connected(plane);
        response
    }

    pub async fn heartbeat(&self, plane: &Plane) -> bool {
        self.beat(plane, None).await
    }

    /// A heartbeat that says which attempts prepare a workspace. Returns those that have to end.
    pub async fn prepares(
        &self,
        plane: &Plane,
        attempts: &[(&str, u32)],
    ) -> Result<Vec<(String, u32)>, Status> {
        let attempts = attempts.iter().map(|(id, attempt)| AttemptRef {
            workspace_id: (*id).to_owned(),
            attempt: *attempt,
        });
        let request = HeartbeatRequest {
            node: self.name.clone(),
            boot_id: self.boot_id.clone(),
            preparing_attempts: attempts.collect(),
            ..HeartbeatRequest::default()
        };
        let request = plane.of_node(&self.name, request);
        let answer = plane.registry().await.heartbeat(request).await?;
        let ended = answer.into_inner().ended_attempts.into_iter();
        Ok(ended
            .map(|ended| (ended.workspace_id, ended.attempt))
            .collect())
    }

    /// From now on it says this of every container.
    pub fn says_of_containers(&self, known: GetContainerResponse) {
        self.shared.change(|state| state.container = Some(known));
    }

    /// Heartbeats that say which containers run: of an attempt that was just given to the node the first one is not
    /// believed, since its list may be older.
    pub async fn runs(&self, plane: &Plane, containers: &[&str]) {
        let running = containers.iter().map(|id| (*id).to_owned());
        let containers = NodeContainers {
            running_container_ids: running.collect(),
            ..NodeContainers::default()
        };
        for _ in 0..2 {
            let known = self.beat(plane, Some(containers.clone())).await;
            assert!(known, "it is known");
        }
    }

    async fn beat(&self, plane: &Plane, containers: Option<NodeContainers>) -> bool {
        let request = HeartbeatRequest {
            node: self.name.clone(),
            boot_id: self.boot_id.clone(),
            disk_free_bytes: 1,
            containers,
            problem: String::new(),
            preparing_attempts: Vec::new(),
            unconfirmed_attempts: Vec::new(),
            quarantined: Vec::new(),
            trust: None,
        };
        let request = plane.of_node(&self.name, request);
        match plane.registry().await.heartbeat(request).await {
            Ok(answer) => answer.into_inner().known,
            // It registers again in this case, too.
            Err(status) if status.code() == Code::Unauthenticated => false,
            Err(status) => panic!("{status}"),
        }
    }

    /// Says that it ends.
    pub async fn deregister(&self, plane: &Plane) {
        let request = DeregisterRequest {
            node: self.name.clone(),
            boot_id: self.boot_id.clone(),
        };
        let request = plane.of_node(&self.name, request);
        let response = plane.registry().await.deregister(request).await;
        response.expect("an answer");
    }

    /// The process ends without a word, and everything it knew with it.
    pub fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime cannot wait for the end of another.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join();
            ended.expect("the runtime ends");
        }
    }

    /// Another process, which has not registered yet.
    pub fn restart(&mut self) {
        self.crash();
        self.assert_contract_was_kept();
        self.boot();
    }

    /// Ends the connection by which the control plane calls, with all calls on it, and opens another one.
    pub fn cut_connection(&self, plane: &Plane) {
        self.keep_connected(plane);
    }

    /// Breaks all streams; new ones work.
    pub fn break_streams(&self) {
        self.shared.change(|state| state.line += 1);
    }

    /// Refuses attempts from now on.
    pub fn refuse(&self, code: Option<Code>) {
        self.shared.change(|state| state.refusal = code);
    }

    pub fn on_removal(&self, removal: Removal) {
        self.shared.change(|state| state.removal = removal);
    }

    /// What happens in an attempt, numbered from where it stands.
    pub fn say(&self, id: &str, attempt: u32, kinds: impl IntoIterator<Item = Kind>) {
        self.shared.change(|state| {
            let known = state.attempts.get_mut(&(id.to_owned(), attempt));
            let events = &mut known.expect("the attempt was started").events;
            for kind in kinds {
                events.push(Event {
                    sequence: events.len() as u64 + 1,
                    attempt,
                    time: Some(prost_types::Timestamp::default()),
                    kind: Some(kind),
                });
            }
        });
    }

    /// Waits until the control plane has started an attempt.
    pub async fn started(&self, id: &str, attempt: u32) -> Asked {
        self.when("an attempt", |state| {
            let known = state.attempts.get(&(id.to_owned(), attempt));
            known.map(|attempt| attempt.request.clone())
        })
        .await
    }

    /// Waits until the control plane has asked to remove a workspace.
    pub async fn asked_to_remove(&self, id: &str) {
        self.when("a removal", |state| {
            state.asked_to_remove.contains(id).then_some(())
        })
        .await;
    }

    pub fn was_asked_to_remove(&self, id: &str) -> bool {
        self.shared.lock().asked_to_remove.contains(id)
    }

    /// Answers the next question about a repository.
    pub fn lists(&self, listing: Result<AgentServiceListConfigsResponse, Status>) {
        self.shared
            .change(|state| state.listings.push_back(listing));
    }

    /// What it was asked about repositories.
    pub fn asked_to_list(&self) -> Vec<AgentServiceListConfigsRequest> {
        self.shared.lock().asked_to_list.clone()
    }

    /// Keeps the log of a build, in pieces.
    pub fn keeps_log(&self, id: &str, pieces: &[&str]) {
        let pieces = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        self.shared
            .change(|state| state.build_logs.insert(id.to_owned(), pieces));
    }

    /// How often an attempt was started, whether it was taken or not.
    pub fn starts(&self) -> u32 {
        self.shared.lock().starts
    }

    /// After which sequences streams were asked for, in order and each once.
    pub fn asked_after(&self) -> Vec<u64> {
        let mut asked = self.shared.lock().asked_after.clone();
        asked.dedup();
        asked
    }

    /// Waits until it has opened this many connections.
    pub async fn when_connected_times(&self, times: u32) {
        let found = |state: &State| (state.connections >= times).then_some(());
        self.when("connections", found).await;
    }

    pub async fn when_started_times(&self, times: u32) {
        self.when("starts", |state| (state.starts >= times).then_some(()))
            .await;
    }

    async fn when<T>(&self, what: &str, found: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(value) = found(&self.shared.lock()) {
                    return value;
                }
                changed.changed().await.expect("the sender is here");
            }
        };
        soon(what, wait).await
    }

    fn assert_contract_was_kept(&self) {
        let faults = &self.shared.lock().faults;
        assert!(faults.is_empty(), "{faults:?}");
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.crash();
        if !std::thread::panicking() {
            self.assert_contract_was_kept();
        }
    }
}
