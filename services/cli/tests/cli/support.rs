//! A control plane that follows a script, and the client under test.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use hearth_api::v1::{
    DeleteWorkspaceRequest, DeleteWorkspaceResponse, ExplainRefRequest, ExplainRefResponse,
    ExplainWorkspaceRequest, ExplainWorkspaceResponse, Explanation, GetStatsRequest,
    GetStatsResponse, GetWorkspaceRequest, GetWorkspaceResponse, InvalidateEntryRequest,
    InvalidateEntryResponse, ListEntriesRequest, ListEntriesResponse, ListNodesRequest,
    ListNodesResponse, ListWorkspacesRequest, ListWorkspacesResponse, PrepareWorkspaceRequest,
    PrepareWorkspaceResponse, ProbeAccessRequest, ProbeAccessResponse, WatchWorkspaceRequest,
    WatchWorkspaceResponse, Workspace,
    cache_service_server::{CacheService, CacheServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
    prepare_workspace_response as prepared, watch_workspace_response as watched,
    workspace_service_server::{WorkspaceService, WorkspaceServiceServer},
};
use hearth_runtime::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::broadcast,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Far more than any test takes; a hanging client fails instead of blocking.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A call that the control plane got.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Prepare(PrepareWorkspaceRequest),
    Watch(WatchWorkspaceRequest),
    Get(GetWorkspaceRequest),
    List(ListWorkspacesRequest),
    Delete(DeleteWorkspaceRequest),
    Nodes,
    Entries(ListEntriesRequest),
    ExplainWorkspace(ExplainWorkspaceRequest),
    ExplainRef(ExplainRefRequest),
    Invalidate(InvalidateEntryRequest),
    Stats,
    Probe(ProbeAccessRequest),
}

/// What to answer to the next call. A call of another kind than the script has is a fault.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To Prepare: messages, and how the stream ends.
    Prepare(Vec<prepared::Message>, End),
    /// To Watch: messages, and how the stream ends.
    Watch(Vec<watched::Message>, End),
    Get(Box<Workspace>),
    List(ListWorkspacesResponse),
    Deleted,
    Nodes(ListNodesResponse),
    Entries(ListEntriesResponse),
    /// To both kinds of explanation.
    Explained(Box<Explanation>),
    Invalidated(InvalidateEntryResponse),
    Stats(Box<GetStatsResponse>),
    Probed(ProbeAccessResponse),
    /// To any call.
    Refuse(Status),
}

/// How a stream ends.
#[derive(Clone, Debug)]
pub enum End {
    /// As the contract has it.
    Well,
    /// With a status.
    With(Status),
    /// Not at all, until the connection is cut.
    Never,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    calls: Vec<Call>,
    faults: Vec<String>,
}

/// The control plane, behind a connection that can be cut.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    script: Served,
    cut: broadcast::Sender<()>,
    tasks: Tasks,
}

impl ControlPlane {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Served::default();
        script.with(|script| script.answers = answers.into_iter().collect());
        let tasks = Tasks::default();
        let (back, back_address) = listen().await;
        let (front, address) = listen().await;
        let server = Server::builder()
            .add_service(WorkspaceServiceServer::new(script.clone()))
            .add_service(NodeServiceServer::new(script.clone()))
            .add_service(CacheServiceServer::new(script.clone()))
            .serve_with_incoming(TcpIncoming::from(back));
        tasks.spawn("server", async move { server.await.expect("the server") });
        let (cut, _) = broadcast::channel(1);
        tasks.spawn("front", {
            let (tasks, cut) = (tasks.clone(), cut.clone());
            async move {
                loop {
                    let (client, _) = front.accept().await.expect("a connection");
                    tasks.spawn("link", link(client, back_address, cut.subscribe()));
                }
            }
        });
        Self {
            address,
            script,
            cut,
            tasks,
        }
    }

    /// Breaks every connection, as a control plane that is killed does.
    pub fn cut(&self) {
        self.cut.send(()).expect("a connection to cut");
    }

    /// The client, pointed at this control plane.
    pub fn hearth(&self, arguments: &[&str]) -> Command {
        hearth(&format!("http://{}", self.address), arguments)
    }

    /// What the control plane was asked, once nothing of the script is left and nothing else was asked.
    pub fn calls(&self) -> Vec<Call> {
        self.script.with(|script| {
            assert_eq!(script.faults, Vec::<String>::new());
            assert!(
                script.answers.is_empty(),
                "not asked for: {:?}",
                script.answers
            );
            script.calls.clone()
        })
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn link(mut client: TcpStream, server: SocketAddr, mut cut: broadcast::Receiver<()>) {
    let mut server = TcpStream::connect(server).await.expect("the server");
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.recv() => {}
    }
}

/// The client with nothing of the environment that could change what it does.
pub fn hearth(control_plane: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .args(arguments)
        .env_clear()
        .env("HEARTH_CONTROL_PLANE", control_plane)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A client that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub async fn run(mut command: Command) -> Ended {
    ended(command.spawn().expect("the client")).await
}

pub async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .expect("the client ends")
        .expect("its output");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The script as the services see it.
#[derive(Clone, Debug, Default)]
struct Served(Arc<Mutex<Script>>);

impl Served {
    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the next answer; `fits` picks out what it has for this kind of call.
    fn answer<T>(&self, call: Call, fits: impl FnOnce(Answer) -> Option<T>) -> Result<T, Status> {
        self.with(|script| {
            let fault = format!("unexpected {call:?}");
            script.calls.push(call);
            let answer = match script.answers.pop_front() {
                Some(Answer::Refuse(status)) => return Err(status),
                answer => answer.and_then(fits),
            };
            answer.ok_or_else(|| {
                script.faults.push(fault.clone());
                Status::failed_precondition(fault)
            })
        })
    }
}

fn streamed<M, R>(
    messages: Vec<M>,
    end: End,
    wrap: fn(Option<M>) -> R,
) -> Response<BoxStream<'static, Result<R, Status>>>
where
    M: Send + 'static,
    R: Send + 'static,
{
    let messages = stream::iter(messages).map(move |message| Ok(wrap(Some(message))));
    Response::new(match end {
        End::Well => messages.boxed(),
        End::With(status) => messages.chain(stream::iter([Err(status)])).boxed(),
        End::Never => messages.chain(stream::pending()).boxed(),
    })
}

#[tonic::async_trait]
impl WorkspaceService for Served {
    type PrepareWorkspaceStream = BoxStream<'static, Result<PrepareWorkspaceResponse, Status>>;
    type WatchWorkspaceStream = BoxStream<'static, Result<WatchWorkspaceResponse, Status>>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let call = Call::Prepare(request.into_inner());
        let (messages, end) = self.answer(call, |answer| match answer {
            Answer::Prepare(messages, end) => Some((messages, end)),
            _ => None,
        })?;
        Ok(streamed(messages, end, |message| {
            PrepareWorkspaceResponse { message }
        }))
    }

    async fn watch_workspace(
        &self,
        request: Request<WatchWorkspaceRequest>,
    ) -> Result<Response<Self::WatchWorkspaceStream>, Status> {
        let call = Call::Watch(request.into_inner());
        let (messages, end) = self.answer(call, |answer| match answer {
            Answer::Watch(messages, end) => Some((messages, end)),
            _ => None,
        })?;
        Ok(streamed(messages, end, |message| WatchWorkspaceResponse {
            message,
        }))
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Result<Response<GetWorkspaceResponse>, Status> {
        let workspace = self.answer(Call::Get(request.into_inner()), |answer| match answer {
            Answer::Get(workspace) => Some(*workspace),
            _ => None,
        })?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(workspace),
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        self.answer(Call::List(request.into_inner()), |answer| match answer {
            Answer::List(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        self.answer(Call::Delete(request.into_inner()), |answer| {
            matches!(answer, Answer::Deleted).then_some(DeleteWorkspaceResponse {})
        })
        .map(Response::new)
    }
}

#[tonic::async_trait]
impl NodeService for Served {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        self.answer(Call::Nodes, |answer| match answer {
            Answer::Nodes(nodes) => Some(nodes),
            _ => None,
        })
        .map(Response::new)
    }
}

#[tonic::async_trait]
impl CacheService for Served {
    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let call = Call::Entries(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Entries(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    async fn explain_workspace(
        &self,
        request: Request<ExplainWorkspaceRequest>,
    ) -> Result<Response<ExplainWorkspaceResponse>, Status> {
        let explanation = self.explained(Call::ExplainWorkspace(request.into_inner()))?;
        Ok(Response::new(ExplainWorkspaceResponse {
            explanation: Some(explanation),
        }))
    }

    async fn explain_ref(
        &self,
        request: Request<ExplainRefRequest>,
    ) -> Result<Response<ExplainRefResponse>, Status> {
        let explanation = self.explained(Call::ExplainRef(request.into_inner()))?;
        Ok(Response::new(ExplainRefResponse {
            explanation: Some(explanation),
        }))
    }

    async fn invalidate_entry(
        &self,
        request: Request<InvalidateEntryRequest>,
    ) -> Result<Response<InvalidateEntryResponse>, Status> {
        let call = Call::Invalidate(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Invalidated(response) => Some(response),
            _ => None,
        })
        .map(Response::new)
    }

    async fn probe_access(
        &self,
        request: Request<ProbeAccessRequest>,
    ) -> Result<Response<ProbeAccessResponse>, Status> {
        let call = Call::Probe(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Probed(response) => Some(response),
            _ => None,
        })
        .map(Response::new)
    }

    async fn get_stats(
        &self,
        _: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        self.answer(Call::Stats, |answer| match answer {
            Answer::Stats(stats) => Some(*stats),
            _ => None,
        })
        .map(Response::new)
    }
}

impl Served {
    fn explained(&self, call: Call) -> Result<Explanation, Status> {
        self.answer(call, |answer| match answer {
            Answer::Explained(explanation) => Some(*explanation),
            _ => None,
        })
    }
}
