//! A scripted agent on a real socket: it says what the test tells it to, and holds the control plane to the contract
//! of `AgentService`. It runs in a runtime of its own, so that a crash takes its connections along.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::{Stream, stream::try_unfold};
use hearth_api::v1::{
    CacheSkipReason, Event, HeartbeatRequest, NodeInfo, RegisterRequest, RegisterResponse,
    RemoveWorkspaceRequest, RemoveWorkspaceResponse, StartAttemptRequest, StartAttemptResponse,
    WatchAttemptRequest, WatchAttemptResponse,
    agent_service_server::{AgentService, AgentServiceServer},
    event::Kind,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use super::{PATIENCE, plane::Plane, soon};

/// What the agent does when it is asked to remove a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Works,
    Fails,
    Hangs,
}

struct Attempt {
    request: StartAttemptRequest,
    events: Vec<Event>,
}

struct State {
    attempts: BTreeMap<(String, u32), Attempt>,
    starts: u32,
    refusal: Option<Code>,
    removal: Removal,
    asked_to_remove: BTreeSet<String>,
    /// After which sequences streams were asked for.
    asked_after: Vec<u64>,
    /// Streams that began under a smaller number break.
    line: u32,
    /// What the control plane did against the contract.
    faults: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in here")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.send_modify(|times| *times += 1);
        value
    }
}

pub struct FakeAgent {
    pub name: String,
    pub boot_id: String,
    pub platform: String,
    endpoint: String,
    port: u16,
    boots: u32,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl FakeAgent {
    /// An agent that listens and is not registered.
    pub async fn start(name: &str) -> Self {
        let mut agent = Self {
            name: name.into(),
            boot_id: String::new(),
            platform: "linux/amd64".into(),
            endpoint: String::new(),
            port: 0,
            boots: 0,
            shared: shared(),
            runtime: None,
        };
        agent.boot().await;
        agent
    }

    /// An agent that is registered.
    pub async fn join(plane: &Plane, name: &str) -> Self {
        let agent = Self::start(name).await;
        agent.register(plane, &[]).await;
        agent
    }

    async fn boot(&mut self) {
        self.boots += 1;
        self.boot_id = format!("{}-boot-{}", self.name, self.boots);
        self.shared = shared();
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        let listener = listener.expect("a port").into_std().expect("a listener");
        self.port = listener.local_addr().expect("an address").port();
        self.endpoint = format!("http://127.0.0.1:{}", self.port);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let service = AgentServiceServer::new(Service(self.shared.clone()));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
        });
        self.runtime = Some(runtime);
    }

    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            endpoint: self.endpoint.clone(),
            boot_id: self.boot_id.clone(),
            platform: self.platform.clone(),
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
        response.expect("a registration").into_inner()
    }

    pub async fn heartbeat(&self, plane: &Plane) -> bool {
        let request = HeartbeatRequest {
            node: self.name.clone(),
            boot_id: self.boot_id.clone(),
            disk_free_bytes: 1,
        };
        let response = plane.registry().await.heartbeat(request).await;
        response.expect("a heartbeat").into_inner().known
    }

    /// The process ends without a word, and everything it knew with it.
    pub fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits until the port is free, which a runtime cannot do from within another.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join();
            ended.expect("the runtime ends");
        }
    }

    /// Another process on the same port.
    pub async fn restart(&mut self) {
        self.crash();
        self.assert_contract_was_kept();
        self.boot().await;
    }

    /// Another process on another port.
    pub async fn restart_elsewhere(&mut self) {
        self.port = 0;
        self.restart().await;
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
    pub async fn started(&self, id: &str, attempt: u32) -> StartAttemptRequest {
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

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        state: Mutex::new(State {
            attempts: BTreeMap::new(),
            starts: 0,
            refusal: None,
            removal: Removal::Works,
            asked_to_remove: BTreeSet::new(),
            asked_after: Vec::new(),
            line: 0,
            faults: Vec::new(),
        }),
        changed: watch::Sender::default(),
    })
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl AgentService for Service {
    type PrepareWorkspaceStream = futures_util::stream::BoxStream<
        'static,
        Result<hearth_api::v1::AgentServicePrepareWorkspaceResponse, Status>,
    >;

    async fn prepare_workspace(
        &self,
        _: Request<hearth_api::v1::AgentServicePrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        Err(Status::unimplemented(
            "StartAttempt and WatchAttempt are served",
        ))
    }

    async fn start_attempt(
        &self,
        request: Request<StartAttemptRequest>,
    ) -> Result<Response<StartAttemptResponse>, Status> {
        let request = request.into_inner();
        self.0.change(|state| {
            state.starts += 1;
            if let Some(code) = state.refusal {
                return Err(Status::new(code, "the test says no"));
            }
            let attempt = request.attempt.clone().unwrap_or_default();
            let key = (attempt.workspace_id, attempt.attempt);
            let skipped = request.cache_skip_reason() != CacheSkipReason::Unspecified;
            if key.0.is_empty() || key.1 == 0 || request.spec.is_none() {
                state.faults.push(format!("malformed: {request:?}"));
            }
            if request.cache.is_some() == skipped {
                state.faults.push(format!(
                    "cache and skip reason exclude each other: {request:?}"
                ));
            }
            let newer = state
                .attempts
                .keys()
                .any(|(id, number)| *id == key.0 && *number > key.1);
            if newer {
                state.faults.push(format!("{key:?} has been replaced"));
                return Err(Status::failed_precondition("a newer attempt is known"));
            }
            if let Some(known) = state.attempts.get(&key) {
                if known.request != request {
                    state
                        .faults
                        .push(format!("{key:?} came with another request"));
                }
            } else {
                let events = Vec::new();
                state.attempts.insert(key, Attempt { request, events });
            }
            Ok(Response::new(StartAttemptResponse {}))
        })
    }

    type WatchAttemptStream =
        Pin<Box<dyn Stream<Item = Result<WatchAttemptResponse, Status>> + Send>>;

    async fn watch_attempt(
        &self,
        request: Request<WatchAttemptRequest>,
    ) -> Result<Response<Self::WatchAttemptStream>, Status> {
        let request = request.into_inner();
        let attempt = request.attempt.unwrap_or_default();
        let key = (attempt.workspace_id, attempt.attempt);
        let line = {
            let mut state = self.0.lock();
            let line = state.line;
            state.asked_after.push(request.after_sequence);
            let known = state.attempts.get(&key).map(|known| known.events.len());
            match known {
                None => return Err(Status::not_found("no such attempt")),
                Some(known) if request.after_sequence > known as u64 => {
                    state
                        .faults
                        .push(format!("{key:?} never had that many events"));
                }
                Some(_) => {}
            }
            line
        };
        let reader = (self.0.clone(), key, request.after_sequence as usize, line);
        let changed = self.0.changed.subscribe();
        let stream = try_unfold(
            (reader, changed),
            |((shared, key, next, line), mut changed)| async move {
                loop {
                    changed.borrow_and_update();
                    let found = {
                        let state = shared.lock();
                        if state.line != line {
                            return Err(Status::unavailable("the line broke"));
                        }
                        let events = state.attempts.get(&key).map(|known| &known.events);
                        let Some(events) = events else {
                            return Ok(None);
                        };
                        let last = events.last().and_then(|event| event.kind.as_ref());
                        match events.get(next) {
                            Some(event) => Some(event.clone()),
                            None if matches!(last, Some(Kind::Settled(_))) => return Ok(None),
                            None => None,
                        }
                    };
                    if found.is_some() {
                        let message = WatchAttemptResponse { event: found };
                        return Ok(Some((message, ((shared, key, next + 1, line), changed))));
                    }
                    if changed.changed().await.is_err() {
                        return Ok(None);
                    }
                }
            },
        );
        Ok(Response::new(Box::pin(stream)))
    }

    async fn remove_workspace(
        &self,
        request: Request<RemoveWorkspaceRequest>,
    ) -> Result<Response<RemoveWorkspaceResponse>, Status> {
        let id = request.into_inner().workspace_id;
        let removal = self.0.change(|state| {
            state.asked_to_remove.insert(id.clone());
            if state.removal == Removal::Works {
                state.attempts.retain(|(known, _), _| *known != id);
            }
            state.removal
        });
        match removal {
            Removal::Works => Ok(Response::new(RemoveWorkspaceResponse {})),
            Removal::Fails => Err(Status::unavailable("the engine does not answer")),
            Removal::Hangs => std::future::pending().await,
        }
    }
}
