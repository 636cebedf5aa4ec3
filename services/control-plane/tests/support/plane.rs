use std::{collections::HashMap, path::Path, sync::LazyLock};

use futures_util::{StreamExt as _, TryStreamExt as _};
use hearth_api::v1::{
    Event, ListNodesRequest, Node, OpenConnectionRequest, PrepareWorkspaceRequest, WatchUntil,
    WatchWorkspaceRequest, Workspace, WorkspaceSpec,
    agent_registry_service_client::AgentRegistryServiceClient,
    cache_index_service_client::CacheIndexServiceClient, cache_service_client::CacheServiceClient,
    client_service_client::ClientServiceClient, credential_service_client::CredentialServiceClient,
    event::Kind, node_service_client::NodeServiceClient, prepare_workspace_response as prepared,
    watch_workspace_response as watched, workspace_service_client::WorkspaceServiceClient,
};
use hearth_control_plane::{Addresses, Config, ControlPlane};
use hearth_runtime::{Tasks, Tunnel};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming, transport::Channel};

use super::{cache::REGISTRY, soon};

/// A running control plane.
pub struct Plane {
    pub addresses: Addresses,
    stop: CancellationToken,
    ended: oneshot::Receiver<anyhow::Result<()>>,
    /// Where its database is, if nothing else needs to know.
    directory: Option<TempDir>,
    /// Names what keeps its sessions, which outlive the process.
    world: String,
}

/// The newest session of each node, by world and name.
static SESSIONS: LazyLock<Mutex<HashMap<(String, String), String>>> = LazyLock::new(Mutex::default);

/// Where the newest control plane of each world listens.
static ADDRESSES: LazyLock<Mutex<HashMap<String, Addresses>>> = LazyLock::new(Mutex::default);

/// A session of a node, whichever control plane of its world runs.
pub struct SessionOf {
    world: String,
    token: String,
}

impl SessionOf {
    /// Opens a connection by which the control plane calls the agent of the node, with what is cancelled when it asks for
    /// another one.
    pub async fn open_connection(&self) -> Result<(Tunnel, CancellationToken), Status> {
        let address = ADDRESSES.lock().get(&self.world).copied();
        let url = format!("http://{}", address.expect("a control plane").listen);
        let channel = Channel::from_shared(url).expect("an address");
        let channel = channel.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let (leaves, leaving) = Tunnel::way_out();
        let leaving = leaving.map(|data| OpenConnectionRequest { data });
        let mut client = AgentRegistryServiceClient::new(channel);
        let answers = client.open_connection(by(&self.token, leaving)).await?;
        let asked = CancellationToken::new();
        let another = asked.clone();
        let arriving = answers.into_inner().map_ok(move |answer| {
            if answer.open_another {
                another.cancel();
            }
            answer.data
        });
        Ok((Tunnel::new(arriving, leaves), asked))
    }
}

impl Plane {
    /// Starts with an empty database.
    pub async fn fresh(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut plane = Self::start(directory.path(), flags).await;
        plane.directory = Some(directory);
        plane
    }

    /// Starts with the database in `directory`, which may be there already.
    pub async fn start(directory: &Path, flags: &[&str]) -> Self {
        let database = format!("sqlite://{}", directory.join("hearth.db").display());
        let fixed = [
            "hearth-control-plane",
            "--listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
            "--insecure-loopback",
            "--database",
            &database,
        ];
        let registry = format!("--cache-registry={}", REGISTRY.host());
        let own = flags
            .iter()
            .any(|flag| flag.starts_with("--cache-registry"));
        let registry = (!own).then_some(registry.as_str());
        let fixed = fixed.into_iter().chain(registry);
        let config = Config::read(fixed.chain(flags.iter().copied())).expect("a good command line");
        let plane = ControlPlane::build(config).await.expect("a control plane");
        let addresses = plane.addresses();
        ADDRESSES.lock().insert(database.clone(), addresses);
        let (stop, (done, ended)) = (CancellationToken::new(), oneshot::channel());
        let running = plane.run(stop.clone());
        Tasks::default().spawn("control plane", async move {
            let _ = done.send(running.await);
        });
        Self {
            addresses,
            stop,
            ended,
            directory: None,
            world: database,
        }
    }

    /// One that runs elsewhere.
    pub fn at(addresses: Addresses) -> Self {
        let (_, ended) = oneshot::channel();
        Self {
            addresses,
            stop: CancellationToken::new(),
            ended,
            directory: None,
            world: {
                let world = addresses.listen.to_string();
                ADDRESSES.lock().insert(world.clone(), addresses);
                world
            },
        }
    }

    /// Stops and waits until it has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = soon("the end", self.ended).await;
        ended.expect("it did not panic").expect("an orderly end");
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.addresses.listen));
        endpoint
            .expect("an address")
            .connect()
            .await
            .expect("it listens")
    }

    pub async fn workspaces(&self) -> WorkspaceServiceClient<Channel> {
        WorkspaceServiceClient::new(self.channel().await)
    }

    pub async fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel().await)
    }

    /// All nodes.
    pub async fn list_nodes(&self) -> Vec<Node> {
        let nodes = self.nodes().await.list_nodes(ListNodesRequest {}).await;
        nodes.expect("nodes").into_inner().nodes
    }

    /// Why the control plane takes no work, as it tells clients.
    pub async fn problem(&self) -> String {
        let nodes = self.nodes().await.list_nodes(ListNodesRequest {}).await;
        nodes.expect("nodes").into_inner().problem
    }

    pub async fn registry(&self) -> AgentRegistryServiceClient<Channel> {
        AgentRegistryServiceClient::new(self.channel().await)
    }

    pub async fn cache(&self) -> CacheIndexServiceClient<Channel> {
        CacheIndexServiceClient::new(self.channel().await)
    }

    /// A node began a session.
    pub fn began(&self, node: &str, session: &str) {
        let key = (self.world.clone(), node.to_owned());
        SESSIONS.lock().insert(key, session.to_owned());
    }

    /// The session that a node has now.
    pub fn session_of(&self, node: &str) -> SessionOf {
        let key = (self.world.clone(), node.to_owned());
        SessionOf {
            world: self.world.clone(),
            token: SESSIONS.lock().get(&key).cloned().unwrap_or_default(),
        }
    }

    /// A request of a node's agent, without a session if it never registered.
    pub fn of_node<M>(&self, node: &str, message: M) -> Request<M> {
        let key = (self.world.clone(), node.to_owned());
        let session = SESSIONS.lock().get(&key).cloned();
        by(&session.unwrap_or_default(), message)
    }

    /// A request of the agent on whose node a workspace is; of any agent if the workspace is unknown.
    pub async fn of_agent<M>(&self, workspace: &str, message: M) -> Request<M> {
        let node = self.get(workspace).await.map(|workspace| workspace.node);
        let session = {
            let sessions = SESSIONS.lock();
            let own = sessions
                .iter()
                .filter(|((world, _), _)| *world == self.world);
            let of_node = own
                .clone()
                .find(|((_, of), _)| node.as_ref().ok() == Some(of));
            of_node
                .or(own.clone().next())
                .map(|(_, session)| session.clone())
        };
        by(&session.unwrap_or_default(), message)
    }

    pub async fn cache_service(&self) -> CacheServiceClient<Channel> {
        CacheServiceClient::new(self.channel().await)
    }

    pub async fn clients(&self) -> ClientServiceClient<Channel> {
        ClientServiceClient::new(self.channel().await)
    }

    pub async fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel().await)
    }

    /// An answer of the admin port, with its head.
    pub async fn admin(&self, path: &str) -> String {
        let connection = TcpStream::connect(self.addresses.admin).await;
        let mut connection = connection.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let sent = connection.write_all(request.as_bytes()).await;
        sent.expect("a request");
        let mut answer = String::new();
        let read = connection.read_to_string(&mut answer).await;
        read.expect("an answer");
        answer
    }

    pub async fn try_prepare(&self, request: PrepareWorkspaceRequest) -> Result<Follower, Status> {
        let stream = self.workspaces().await.prepare_workspace(request).await?;
        Follower::begin(Source::Prepare(Box::new(stream.into_inner()))).await
    }

    pub async fn prepare(&self, request: PrepareWorkspaceRequest) -> Follower {
        self.try_prepare(request).await.expect("a workspace")
    }

    pub async fn try_watch(
        &self,
        id: &str,
        after_sequence: u64,
        until: WatchUntil,
    ) -> Result<Follower, Status> {
        let request = WatchWorkspaceRequest {
            workspace_id: id.to_owned(),
            after_sequence,
            until: until.into(),
        };
        let stream = self.workspaces().await.watch_workspace(request).await?;
        let follower = Follower::begin(Source::Watch(Box::new(stream.into_inner()))).await;
        // What is left of a log that was too large.
        follower.map(|follower| Follower {
            may_have_gaps: after_sequence == 0,
            ..follower
        })
    }

    /// Follows a workspace until it has settled.
    pub async fn watch(&self, id: &str, after_sequence: u64) -> Follower {
        let follower = self
            .try_watch(id, after_sequence, WatchUntil::Settled)
            .await;
        follower.expect("a stream")
    }

    pub async fn get(&self, id: &str) -> Result<Workspace, Status> {
        let request = hearth_api::v1::GetWorkspaceRequest {
            workspace_id: id.to_owned(),
        };
        let response = self.workspaces().await.get_workspace(request).await?;
        Ok(response.into_inner().workspace.expect("a workspace"))
    }

    pub async fn delete(&self, id: &str, force: bool) -> Result<(), Status> {
        let request = hearth_api::v1::DeleteWorkspaceRequest {
            workspace_id: id.to_owned(),
            force,
        };
        let call = async { self.workspaces().await.delete_workspace(request).await };
        soon("a deletion", call).await.map(|_| ())
    }
}

/// A request with this session token; empty: with none.
pub fn by<M>(session: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    if !session.is_empty() {
        let bearer = format!("Bearer {session}").parse().expect("a header");
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// A request for a workspace of an ordinary repository.
pub fn shop() -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        spec: Some(WorkspaceSpec {
            repository: "https://github.com/acme/shop".into(),
            ..WorkspaceSpec::default()
        }),
        ..PrepareWorkspaceRequest::default()
    }
}

/// A request for a new attempt.
pub fn again(id: &str) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        workspace_id: id.to_owned(),
        ..PrepareWorkspaceRequest::default()
    }
}

enum Source {
    Prepare(Box<Streaming<hearth_api::v1::PrepareWorkspaceResponse>>),
    Watch(Box<Streaming<hearth_api::v1::WatchWorkspaceResponse>>),
}

enum Message {
    Snapshot(Box<Workspace>),
    Event(Event),
}

/// A client's stream. Holds the control plane to the contract: a snapshot first, then events without gaps, unless it begins
/// with the oldest one.
pub struct Follower {
    pub snapshot: Workspace,
    may_have_gaps: bool,
    source: Source,
    last: Option<u64>,
}

impl Follower {
    async fn begin(mut source: Source) -> Result<Self, Status> {
        match soon("a snapshot", source.next()).await? {
            Some(Message::Snapshot(snapshot)) => Ok(Self {
                snapshot: *snapshot,
                may_have_gaps: false,
                source,
                last: None,
            }),
            _ => panic!("a stream begins with a snapshot"),
        }
    }

    pub fn id(&self) -> &str {
        &self.snapshot.id
    }

    /// The next event, or the end of the stream.
    pub async fn try_next(&mut self) -> Result<Option<Event>, Status> {
        match soon("an event", self.source.next()).await? {
            Some(Message::Event(event)) => {
                if let Some(last) = self.last {
                    let next = event.sequence == last + 1;
                    let gap = self.may_have_gaps && event.sequence > last;
                    assert!(next || gap, "no gap, nothing twice: {event:?} after {last}");
                }
                self.last = Some(event.sequence);
                Ok(Some(event))
            }
            Some(Message::Snapshot(_)) => panic!("only the first message is a snapshot"),
            None => Ok(None),
        }
    }

    /// The next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            let next = self.try_next().await.expect("no failure");
            events.push(next.expect("an event and not the end"));
        }
        events
    }

    /// Everything up to the end of the stream.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.try_next().await.expect("no failure") {
            events.push(event);
        }
        events
    }

    /// Everything up to an event of a kind.
    pub async fn until(&mut self, found: impl Fn(&Kind) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.take(1).await.remove(0);
            let done = event.kind.as_ref().is_some_and(&found);
            events.push(event);
            if done {
                return events;
            }
        }
    }
}

impl Source {
    async fn next(&mut self) -> Result<Option<Message>, Status> {
        Ok(match self {
            Self::Prepare(stream) => {
                stream
                    .message()
                    .await?
                    .map(|response| match response.message.expect("a message") {
                        prepared::Message::Snapshot(snapshot) => {
                            Message::Snapshot(Box::new(snapshot))
                        }
                        prepared::Message::Event(event) => Message::Event(event),
                    })
            }
            Self::Watch(stream) => {
                stream
                    .message()
                    .await?
                    .map(|response| match response.message.expect("a message") {
                        watched::Message::Snapshot(snapshot) => {
                            Message::Snapshot(Box::new(snapshot))
                        }
                        watched::Message::Event(event) => Message::Event(event),
                    })
            }
        })
    }
}
