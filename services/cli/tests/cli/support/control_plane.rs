use std::net::SocketAddr;

use hearth_api::v1::{
    cache_service_server::CacheServiceServer, client_service_server::ClientServiceServer,
    join_token_service_server::JoinTokenServiceServer, node_service_server::NodeServiceServer,
    workspace_service_server::WorkspaceServiceServer,
};
use hearth_runtime::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    sync::broadcast,
};
use tonic::{
    Request,
    service::InterceptorLayer,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use super::{
    client::hearth,
    script::{Answer, Call, Served},
};

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
        Self::start_with(answers, None).await
    }

    /// With TLS, by this certificate, if there is one.
    pub async fn start_with(
        answers: impl IntoIterator<Item = Answer>,
        identity: Option<Identity>,
    ) -> Self {
        let script = Served::default();
        script.with(|script| script.answers = answers.into_iter().collect());
        let tasks = Tasks::default();
        let (back, back_address) = listen().await;
        let (front, address) = listen().await;
        let proofs = script.clone();
        let noted = InterceptorLayer::new(move |request: Request<()>| {
            if let Some(proof) = request.metadata().get("authorization") {
                let proof = proof.to_str().expect("text").to_owned();
                proofs.with(|script| script.proofs.push(proof));
            }
            Ok(request)
        });
        let mut server = Server::builder();
        if let Some(identity) = identity {
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).expect("a certificate");
        }
        let server = server
            .layer(noted)
            .add_service(WorkspaceServiceServer::new(script.clone()))
            .add_service(NodeServiceServer::new(script.clone()))
            .add_service(CacheServiceServer::new(script.clone()))
            .add_service(ClientServiceServer::new(script.clone()))
            .add_service(JoinTokenServiceServer::new(script.clone()))
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

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What calls proved since the last look.
    pub fn proofs(&self) -> Vec<String> {
        self.script
            .with(|script| std::mem::take(&mut script.proofs))
    }

    /// The calls that the control plane got. Fails if an answer of the script is left, or if a call did not fit it.
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
