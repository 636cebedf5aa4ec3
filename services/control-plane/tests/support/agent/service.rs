//! The agent's service, as strict as the real one, and what it noticed.

use super::*;

pub(super) struct Attempt {
    pub(super) request: Asked,
    pub(super) events: Vec<Event>,
}

pub(super) struct State {
    pub(super) boot_id: String,
    pub(super) attempts: BTreeMap<(String, u32), Attempt>,
    pub(super) starts: u32,
    pub(super) refusal: Option<Code>,
    pub(super) removal: Removal,
    pub(super) asked_to_remove: BTreeSet<String>,
    /// After which sequences streams were asked for.
    pub(super) asked_after: Vec<u64>,
    /// Connections that were opened.
    pub(super) connections: u32,
    /// Streams that began under a smaller number break.
    pub(super) line: u32,
    /// What it answers about repositories, one after the other.
    pub(super) listings: VecDeque<Result<AgentServiceListConfigsResponse, Status>>,
    /// What it was asked about repositories.
    pub(super) asked_to_list: Vec<AgentServiceListConfigsRequest>,
    /// The logs of builds, in pieces, by workspace.
    pub(super) build_logs: BTreeMap<String, Vec<String>>,
    /// Whether it stops workspaces.
    pub(super) stops: bool,
    /// What it says of containers.
    pub(super) container: Option<GetContainerResponse>,
    /// What the control plane did against the contract.
    pub(super) faults: Vec<String>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in here")
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.send_modify(|times| *times += 1);
        value
    }
}

pub(super) fn shared(boot_id: &str) -> Arc<Shared> {
    Arc::new(Shared {
        state: Mutex::new(State {
            boot_id: boot_id.into(),
            attempts: BTreeMap::new(),
            starts: 0,
            refusal: None,
            removal: Removal::Works,
            asked_to_remove: BTreeSet::new(),
            asked_after: Vec::new(),
            connections: 0,
            line: 0,
            listings: VecDeque::new(),
            asked_to_list: Vec::new(),
            build_logs: BTreeMap::new(),
            stops: true,
            container: None,
            faults: Vec::new(),
        }),
        changed: watch::Sender::default(),
    })
}

impl State {
    /// Takes an attempt, or finds the one that is known.
    pub(super) fn take(&mut self, request: Asked) -> Result<(String, u32), Status> {
        let attempt = request.attempt.clone().unwrap_or_default();
        let key = (attempt.workspace_id, attempt.attempt);
        let skipped = request.cache_skip_reason() != CacheSkipReason::Unspecified;
        if key.0.is_empty() || key.1 == 0 || request.spec.is_none() {
            self.faults.push(format!("malformed: {request:?}"));
        }
        if request.cache.is_some() == skipped {
            self.faults.push(format!(
                "cache and skip reason exclude each other: {request:?}"
            ));
        }
        let is_new = !self.attempts.contains_key(&key);
        if is_new && request.after_sequence == 0 {
            self.starts += 1;
        }
        if let Some(code) = self.refusal {
            return Err(Status::new(code, "the test says no"));
        }
        self.asked_after.push(request.after_sequence);
        let newer = |(id, number): &(String, u32)| *id == key.0 && *number > key.1;
        if self.attempts.keys().any(newer) {
            self.faults.push(format!("{key:?} has been replaced"));
            return Err(Status::failed_precondition("a newer attempt is known"));
        }
        match self.attempts.get(&key) {
            Some(known) => {
                if (&known.request.spec, &known.request.cache_skip_reason)
                    != (&request.spec, &request.cache_skip_reason)
                {
                    let fault = format!("{key:?} came with another request");
                    self.faults.push(fault);
                }
                if request.after_sequence > known.events.len() as u64 {
                    let fault = format!("{key:?} never had that many events");
                    self.faults.push(fault);
                }
            }
            None if request.after_sequence > 0 => {
                return Err(Status::not_found("no such attempt"));
            }
            None => {
                let events = Vec::new();
                let attempt = Attempt { request, events };
                self.attempts.insert(key.clone(), attempt);
            }
        }
        Ok(key)
    }
}

pub(super) fn answer(message: Message) -> Answer {
    Answer {
        message: Some(message),
    }
}

pub(super) struct Service(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl AgentService for Service {
    type ExecStream = BoxStream<'static, Result<hearth_api::v1::AgentServiceExecResponse, Status>>;
    type OpenSshStream =
        BoxStream<'static, Result<hearth_api::v1::AgentServiceOpenSshResponse, Status>>;
    type PortForwardStream =
        BoxStream<'static, Result<hearth_api::v1::AgentServicePortForwardResponse, Status>>;

    async fn exec(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::AgentServiceExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn open_ssh(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::AgentServiceOpenSshRequest>>,
    ) -> Result<Response<Self::OpenSshStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn port_forward(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::AgentServicePortForwardRequest>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    type PrepareWorkspaceStream = BoxStream<'static, Result<Answer, Status>>;

    async fn prepare_workspace(
        &self,
        request: Request<Asked>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let request = request.into_inner();
        let next = request.after_sequence as usize;
        let (key, line, boot_id) = self.0.change(|state| {
            let key = state.take(request)?;
            Ok::<_, Status>((key, state.line, state.boot_id.clone()))
        })?;
        let reader = (self.0.clone(), key, next, line);
        let changed = self.0.changed.subscribe();
        let events = try_unfold(
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
                    if let Some(event) = found {
                        let next = (shared, key, next + 1, line);
                        return Ok(Some((answer(Message::Event(event)), (next, changed))));
                    }
                    if changed.changed().await.is_err() {
                        return Ok(None);
                    }
                }
            },
        );
        let accepted = answer(Message::Accepted(AttemptAccepted { boot_id }));
        let first = stream::once(async move { Ok(accepted) });
        Ok(Response::new(first.chain(events).boxed()))
    }

    type GetBuildLogStream = BoxStream<'static, Result<AgentServiceGetBuildLogResponse, Status>>;

    async fn list_configs(
        &self,
        request: Request<AgentServiceListConfigsRequest>,
    ) -> Result<Response<AgentServiceListConfigsResponse>, Status> {
        let listing = self.0.change(|state| {
            state.asked_to_list.push(request.into_inner());
            state.listings.pop_front()
        });
        let none = || Err(Status::unimplemented("an agent of an earlier version"));
        listing.unwrap_or_else(none).map(Response::new)
    }

    async fn get_build_log(
        &self,
        request: Request<AgentServiceGetBuildLogRequest>,
    ) -> Result<Response<Self::GetBuildLogStream>, Status> {
        let id = request.into_inner().workspace_id;
        let pieces = self.0.lock().build_logs.get(&id).cloned();
        let pieces = pieces.ok_or_else(|| Status::not_found("nothing was built"))?;
        let pieces = pieces
            .into_iter()
            .map(|text| Ok(AgentServiceGetBuildLogResponse { attempt: 1, text }));
        Ok(Response::new(stream::iter(pieces).boxed()))
    }

    type StartWorkspaceStream =
        BoxStream<'static, Result<AgentServiceStartWorkspaceResponse, Status>>;

    async fn start_workspace(
        &self,
        _: Request<AgentServiceStartWorkspaceRequest>,
    ) -> Result<Response<Self::StartWorkspaceStream>, Status> {
        Err(Status::unavailable("it starts nothing"))
    }

    async fn stop_workspace(
        &self,
        _: Request<AgentServiceStopWorkspaceRequest>,
    ) -> Result<Response<AgentServiceStopWorkspaceResponse>, Status> {
        let stops = self.0.change(|state| state.stops);
        match stops {
            true => Ok(Response::new(AgentServiceStopWorkspaceResponse {})),
            false => Err(Status::failed_precondition("the test says no")),
        }
    }

    /// It does not say before it is told to.
    async fn get_container(
        &self,
        _: Request<GetContainerRequest>,
    ) -> Result<Response<GetContainerResponse>, Status> {
        let known = self.0.lock().container.clone();
        known
            .map(Response::new)
            .ok_or_else(|| Status::unavailable("the engine does not answer"))
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
