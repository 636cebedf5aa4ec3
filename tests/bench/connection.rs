//! Connections of agents: what a thousand idle ones cost a control plane, and what a call through one takes longer than a call
//! to a port.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use hearth_api::v1::{
    self, HeartbeatRequest, NodeInfo, OpenConnectionRequest, RegisterRequest,
    RemoveWorkspaceRequest, RemoveWorkspaceResponse,
    agent_registry_service_client::AgentRegistryServiceClient,
    agent_registry_service_server::{AgentRegistryService, AgentRegistryServiceServer},
    agent_service_client::AgentServiceClient,
    agent_service_server::{AgentService, AgentServiceServer},
};
use hearth_runtime::{
    CallMetrics, GrpcServer, LimitArgs, Metrics, Stack, Tunnel, serve_tunnel, tunnel_channel,
};
use hearth_tests::process::{Process, binary};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    service::Routes,
    transport::{Channel, Endpoint},
};

use crate::{cpu_seconds, memory_mib};

const AGENTS: usize = 1000;
/// How long they are watched while nothing happens but heartbeats.
const IDLE: Duration = Duration::from_secs(60);
const CALLS: usize = 5000;

pub async fn run() {
    idle().await;
    latency().await;
}

async fn idle() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut control_plane = start(folder.path());
    let url = format!(
        "http://{}",
        control_plane.wait_ready(&folder.path().join("ready.json"))
    );
    let pid = control_plane.pid();
    let alone = memory_mib(pid, "VmRSS:");
    let began = Instant::now();
    let (mut agents, (connected, mut all)) = (JoinSet::new(), mpsc::channel(AGENTS));
    for number in 0..AGENTS {
        let (url, connected) = (url.clone(), connected.clone());
        agents.spawn(async move { agent(url, format!("node-{number}"), connected).await });
    }
    for _ in 0..AGENTS {
        timeout(Duration::from_secs(120), all.recv())
            .await
            .expect("all agents connect in time")
            .expect("they run");
    }
    let took = began.elapsed().as_secs_f64();
    sleep(Duration::from_secs(10)).await;
    let (began, before) = (Instant::now(), cpu_seconds(pid));
    sleep(IDLE).await;
    let percent = (cpu_seconds(pid) - before) / began.elapsed().as_secs_f64() * 100.0;
    let with_all = memory_mib(pid, "VmRSS:");
    let peak = memory_mib(pid, "VmHWM:");
    println!("\n{AGENTS} idle agents on one control plane, a heartbeat of each every 10 s\n");
    println!("| all connected after | resident before | with all | each | peak | processor |");
    println!("| --- | --- | --- | --- | --- | --- |");
    println!(
        "| {took:.1} s | {alone:.0} MiB | {with_all:.0} MiB | {:.0} KiB | {peak:.0} MiB | {percent:.1} % of a core |",
        (with_all - alone) * 1024.0 / AGENTS as f64
    );
    assert_eq!(agents.len(), AGENTS, "all are there");
    agents.abort_all();
}

fn start(folder: &Path) -> Process {
    let database = format!("sqlite://{}/hearth.db", folder.display());
    Process::start(
        "control plane",
        Command::new(binary("hearth-control-plane"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--insecure-loopback", "--cache-registry", "localhost:1"])
            .args(["--credentials", "none", "--database", &database])
            .arg("--ready-file")
            .arg(folder.join("ready.json")),
        folder.join("log"),
    )
}

/// An agent with nothing but the protocol: it registers, sends heartbeats and serves a connection.
async fn agent(url: String, node: String, connected: mpsc::Sender<()>) {
    let channel = Endpoint::new(url).expect("a URL").connect_lazy();
    let mut registry = AgentRegistryServiceClient::new(channel);
    let info = NodeInfo {
        boot_id: node.clone(),
        platform: "linux/amd64".into(),
        ..NodeInfo::default()
    };
    let registered = loop {
        let request = RegisterRequest {
            node: node.clone(),
            info: Some(info.clone()),
            workspace_ids: Vec::new(),
        };
        match registry.register(request).await {
            Ok(registered) => break registered.into_inner(),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    };
    let bearer = format!("Bearer {}", registered.session_token);
    let (leaves, leaving) = Tunnel::way_out();
    let mut open = Request::new(leaving.map(|data| OpenConnectionRequest { data }));
    let metadata = bearer.parse().expect("a header");
    open.metadata_mut().insert("authorization", metadata);
    let answers = registry.open_connection(open).await.expect("a connection");
    let arriving = answers.into_inner().map_ok(|message| message.data);
    let tunnel = Tunnel::new(arriving, leaves);
    let _ = connected.send(()).await;
    let never = CancellationToken::new();
    let heartbeats = async {
        loop {
            sleep(Duration::from_secs(registered.heartbeat_seconds.into())).await;
            let mut heartbeat = Request::new(HeartbeatRequest {
                node: node.clone(),
                boot_id: node.clone(),
                ..HeartbeatRequest::default()
            });
            let metadata = bearer.parse().expect("a header");
            heartbeat.metadata_mut().insert("authorization", metadata);
            let answer = registry.heartbeat(heartbeat).await;
            assert!(answer.expect("an answer").into_inner().known);
        }
    };
    tokio::select! {
        ended = serve_tunnel(tunnel, Routes::new(AgentServiceServer::new(Idle)), &never) => {
            panic!("the connection of {node} has ended: {ended:?}");
        }
        () = heartbeats => {}
    }
}

async fn latency() {
    let (limits, metrics) = (
        LimitArgs::default(),
        CallMetrics::register(&Metrics::default()),
    );
    let limits = LimitArgs {
        max_calls_per_second: 1_000_000,
        max_call_burst: 1_000_000,
        ..limits
    };
    let stack = Stack::new(&limits, metrics.clone());
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    let mut serve = async |routes: Routes| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = GrpcServer::new(routes, &stack, &limits, metrics.clone()).expect("a server");
        serving.spawn(server.serve(listener, stop.clone()));
        Endpoint::new(format!("http://{address}"))
            .expect("a URL")
            .connect_lazy()
    };
    let agent = || Routes::new(AgentServiceServer::new(Idle));
    let direct = serve(agent()).await;
    let (came, mut coming) = mpsc::channel(1);
    let plane = serve(Routes::new(AgentRegistryServiceServer::new(Plane(came)))).await;

    let (leaves, leaving) = Tunnel::way_out();
    let leaving = leaving.map(|data| OpenConnectionRequest { data });
    let mut registry = AgentRegistryServiceClient::new(plane);
    let answers = registry
        .open_connection(leaving)
        .await
        .expect("a connection");
    let arriving = answers.into_inner().map_ok(|message| message.data);
    let (tunnel, called) = (
        Tunnel::new(arriving, leaves),
        stack.clone().for_one_caller(),
    );
    let called = called.in_front_of(agent());
    let ending = stop.clone();
    serving.spawn(async move {
        let _ = serve_tunnel(tunnel, called, &ending).await;
    });
    let through = coming.recv().await.expect("a connection");

    let mut clients = [direct, through].map(AgentServiceClient::new);
    let mut seconds = [Vec::new(), Vec::new()];
    for call in 0..CALLS + 200 {
        for (client, seconds) in clients.iter_mut().zip(&mut seconds) {
            let began = Instant::now();
            let answer = client.remove_workspace(RemoveWorkspaceRequest::default());
            answer.await.expect("an answer");
            // The first ones open connections and grow buffers.
            if call >= 200 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
    }
    println!("\nA call to an agent on loopback, {CALLS} of each in turns\n");
    println!("| way | p50 | p99 |");
    println!("| --- | --- | --- |");
    let [direct, through] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        [50, 99].map(|percent| seconds[seconds.len() * percent / 100] * 1e3)
    });
    for (way, [p50, p99]) in [
        ("to its port", direct),
        ("through its connection", through),
        ("added", [through[0] - direct[0], through[1] - direct[1]]),
    ] {
        println!("| {way} | {p50:.3} ms | {p99:.3} ms |");
    }
}

/// An agent that does nothing.
struct Idle;

#[tonic::async_trait]
impl AgentService for Idle {
    type ExecStream = BoxStream<'static, Result<v1::AgentServiceExecResponse, Status>>;
    type OpenSshStream = BoxStream<'static, Result<v1::AgentServiceOpenSshResponse, Status>>;
    type PortForwardStream =
        BoxStream<'static, Result<v1::AgentServicePortForwardResponse, Status>>;

    async fn exec(
        &self,
        _: Request<Streaming<v1::AgentServiceExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn open_ssh(
        &self,
        _: Request<Streaming<v1::AgentServiceOpenSshRequest>>,
    ) -> Result<Response<Self::OpenSshStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn port_forward(
        &self,
        _: Request<Streaming<v1::AgentServicePortForwardRequest>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    type PrepareWorkspaceStream =
        BoxStream<'static, Result<v1::AgentServicePrepareWorkspaceResponse, Status>>;

    async fn prepare_workspace(
        &self,
        _: Request<v1::AgentServicePrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    type GetBuildLogStream =
        BoxStream<'static, Result<v1::AgentServiceGetBuildLogResponse, Status>>;

    async fn list_configs(
        &self,
        _: Request<v1::AgentServiceListConfigsRequest>,
    ) -> Result<Response<v1::AgentServiceListConfigsResponse>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    async fn get_build_log(
        &self,
        _: Request<v1::AgentServiceGetBuildLogRequest>,
    ) -> Result<Response<Self::GetBuildLogStream>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    type StartWorkspaceStream =
        BoxStream<'static, Result<v1::AgentServiceStartWorkspaceResponse, Status>>;

    async fn start_workspace(
        &self,
        _: Request<v1::AgentServiceStartWorkspaceRequest>,
    ) -> Result<Response<Self::StartWorkspaceStream>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    async fn stop_workspace(
        &self,
        _: Request<v1::AgentServiceStopWorkspaceRequest>,
    ) -> Result<Response<v1::AgentServiceStopWorkspaceResponse>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    async fn get_container(
        &self,
        _: Request<v1::GetContainerRequest>,
    ) -> Result<Response<v1::GetContainerResponse>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }

    async fn remove_workspace(
        &self,
        _: Request<RemoveWorkspaceRequest>,
    ) -> Result<Response<RemoveWorkspaceResponse>, Status> {
        Ok(Response::new(RemoveWorkspaceResponse {}))
    }
}

/// A control plane that takes connections, and hands them on.
struct Plane(mpsc::Sender<Channel>);

#[tonic::async_trait]
impl AgentRegistryService for Plane {
    async fn enrol(
        &self,
        _: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::unimplemented("it takes connections"))
    }

    async fn renew_certificate(
        &self,
        _: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        Err(Status::unimplemented("it takes connections"))
    }

    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        Err(Status::unimplemented("it takes connections"))
    }

    async fn heartbeat(
        &self,
        _: Request<HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        Err(Status::unimplemented("it takes connections"))
    }

    async fn deregister(
        &self,
        _: Request<v1::DeregisterRequest>,
    ) -> Result<Response<v1::DeregisterResponse>, Status> {
        Err(Status::unimplemented("it takes connections"))
    }

    type OpenConnectionStream = BoxStream<'static, Result<v1::OpenConnectionResponse, Status>>;

    async fn open_connection(
        &self,
        request: Request<Streaming<OpenConnectionRequest>>,
    ) -> Result<Response<Self::OpenConnectionStream>, Status> {
        let arriving = request.into_inner().map_ok(|message| message.data);
        let (leaves, leaving) = Tunnel::way_out();
        let tunnel = Tunnel::new(arriving, leaves);
        let _ = self.0.send(tunnel_channel(tunnel)).await;
        let answers = leaving.map(|data| {
            Ok(v1::OpenConnectionResponse {
                data,
                ..v1::OpenConnectionResponse::default()
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}
