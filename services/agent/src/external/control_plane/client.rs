use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _};
use hearth_api::v1::{
    DeregisterRequest, HeartbeatRequest, HeartbeatResponse, NodeTrust, OpenConnectionRequest,
    RegisterRequest, RegisterResponse, agent_registry_service_client::AgentRegistryServiceClient,
};
use hearth_runtime::{Tunnel, in_trace};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    session::{Session, Token},
    trusted_keys::TrustedKeys,
    unsent::sent,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take to answer; a workspace waits no longer for the cache.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A control plane that vanishes while an attempt waits for another node's build is noticed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What proves which node calls, as the value of `authorization`.
#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    /// Marked as sensitive: HTTP/2 does not compress it, and `Debug` does not print it.
    pub(super) fn new(token: &Token) -> Result<Self, Status> {
        let value = format!("Bearer {}", token.secret().expose_secret()).parse();
        let mut value: MetadataValue<Ascii> = value
            .map_err(|_| Status::internal("the node's session token cannot be sent in a header"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// A request with this message and the proof, in the trace of who makes it.
    pub(super) fn on<M>(&self, message: M) -> Request<M> {
        let mut request = in_trace(Request::new(message));
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        request
    }
}

/// How connections to the control plane are made and kept.
pub fn patient(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
}

/// The control plane's services for agents. Connects at the first call, and again after the connection is lost.
#[derive(Clone, Debug)]
pub struct ControlPlaneClient {
    channel: Arc<watch::Sender<Channel>>,
    session: Session,
    keys: TrustedKeys,
    trust: Arc<Mutex<Option<NodeTrust>>>,
}

impl ControlPlaneClient {
    /// A client for `endpoint`, without TLS.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::over(patient(endpoint).connect_lazy())
    }

    /// A client that calls by this connection.
    pub fn over(channel: Channel) -> Self {
        Self {
            channel: Arc::new(watch::Sender::new(channel)),
            session: Session::default(),
            keys: TrustedKeys::default(),
            trust: Arc::default(),
        }
    }

    /// The same, which uses what is signed with these keys, whatever the control plane says about its key.
    pub fn trusting(self, keys: TrustedKeys) -> Self {
        Self { keys, ..self }
    }

    /// What entries of the cache have to be signed with.
    pub(super) fn keys(&self) -> &TrustedKeys {
        &self.keys
    }

    /// The node's session, which proves to the control plane which node calls.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Registers this node, and begins its session.
    pub async fn register(&self, request: RegisterRequest) -> Result<RegisterResponse, Status> {
        let call = async || {
            let mut client = AgentRegistryServiceClient::new(self.channel());
            client.register(request.clone()).await
        };
        let mut answer = sent(call).await?.into_inner();
        self.keys.learn(&answer.cache_public_key);
        self.session
            .begin(std::mem::take(&mut answer.session_token).into());
        Ok(answer)
    }

    /// Reports that the agent runs. A session that is refused is not renewed: UNAUTHENTICATED.
    pub async fn heartbeat(&self, request: HeartbeatRequest) -> Result<HeartbeatResponse, Status> {
        let bearer = Bearer::new(&self.session.token().await)?;
        let call = async || {
            let mut client = AgentRegistryServiceClient::new(self.channel());
            client.heartbeat(bearer.on(request.clone())).await
        };
        let answer = sent(call).await?.into_inner();
        self.keys.learn(&answer.cache_public_key);
        Ok(answer)
    }

    /// Reports that the agent ends, if the node was registered.
    pub async fn deregister(&self, request: DeregisterRequest) -> Result<(), Status> {
        let Some(token) = self.session.current() else {
            return Ok(());
        };
        let bearer = Bearer::new(&token)?;
        let call = async || {
            let mut client = AgentRegistryServiceClient::new(self.channel());
            client.deregister(bearer.on(request.clone())).await
        };
        sent(call).await.map(|_| ())
    }

    /// Opens a connection by which the control plane calls the agent. With it comes the token that is cancelled when another
    /// one has to be opened, while this one still serves.
    pub async fn open_connection(&self) -> Result<(Tunnel, CancellationToken), Status> {
        self.as_node(async |bearer| {
            let (leaves, leaving) = Tunnel::way_out();
            let leaving = leaving.map(|data| OpenConnectionRequest { data });
            let mut client = AgentRegistryServiceClient::new(self.channel());
            let answers = client.open_connection(bearer.on(leaving)).await?;
            let asked = CancellationToken::new();
            let another = asked.clone();
            let arriving = answers.into_inner().map_ok(move |message| {
                if message.open_another {
                    another.cancel();
                }
                message.data
            });
            Ok((Tunnel::new(arriving, leaves), asked))
        })
        .await
    }

    /// Makes a call that proves which node makes it. A session that was refused is renewed once: the node was registered
    /// again by another process, or the control plane has forgotten it. Waits until the node is registered: callers set a
    /// limit.
    pub(super) async fn as_node<T, F>(&self, call: impl Fn(Bearer) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let token = self.session.token().await;
        let bearer = Bearer::new(&token)?;
        match sent(|| call(bearer.clone())).await {
            Err(status) if status.code() == Code::Unauthenticated => {
                let token = self.session.renewed(&token).await;
                let bearer = Bearer::new(&token)?;
                sent(|| call(bearer.clone())).await
            }
            answer => answer,
        }
    }

    /// The connection, shared by all calls.
    pub fn channel(&self) -> Channel {
        self.channel.borrow().clone()
    }

    /// Whose certificate the node has and whom it trusts, where it has joined by TLS.
    pub fn trust(&self) -> Option<NodeTrust> {
        self.trust.lock().clone()
    }

    /// Notes it. The control plane hears of it with the next heartbeat.
    pub fn trusts(&self, trust: NodeTrust) {
        *self.trust.lock() = Some(trust);
    }

    /// Takes another connection for the calls that begin from now on. Others end on the one before, which ends after them.
    pub fn exchange(&self, channel: Channel) {
        self.channel.send_replace(channel);
    }

    /// Tells when the connection is exchanged from now on.
    pub fn exchanges(&self) -> watch::Receiver<Channel> {
        self.channel.subscribe()
    }
}
