//! Nodes that join a control plane with TLS, renew their certificates, and live through a change of the CA.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser as _;
use hearth_agent::{app::App, config::Config as AgentConfig};
use hearth_api::v1::{
    CreateJoinTokenRequest, DeleteWorkspaceRequest, ListNodesRequest, Node, NodeState,
    PrepareWorkspaceRequest, WatchUntil, WorkspaceState, event::Kind,
    join_token_service_client::JoinTokenServiceClient, node_service_client::NodeServiceClient,
    prepare_workspace_response::Message, workspace_service_client::WorkspaceServiceClient,
};
use hearth_control_plane::{CertificateLife, Config, ControlPlane};
use hearth_runtime::tls::{Authorities, ClientTls, ServerTrust};
use hearth_tests::process::PATIENCE;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, transport::Channel};

use crate::{
    external::{Builds, FakeRegistry, info, on_node},
    fleet::repository,
};

/// A control plane with TLS; all of it ends when it is dropped.
pub struct World {
    folder: TempDir,
    pub url: String,
    registry: Arc<FakeRegistry>,
    builds: Arc<Builds>,
    services: JoinSet<()>,
}

impl World {
    /// One whose certificates are valid for so long.
    pub async fn start(life: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let registry = Arc::<FakeRegistry>::default();
        let config = Config::read([
            "hearth-control-plane".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            format!("--cache-registry={}", registry.host()),
            format!("--database=sqlite://{}", path("hearth.db")),
            format!("--ca-certificate={}", path("ca.pem")),
            format!("--ca-key={}", path("ca-key.pem")),
            format!("--admin-token-file={}", path("admin-token")),
        ]);
        let mut config = config.expect("a good command line");
        config.identity.certificate_minutes = CertificateLife(life);
        let plane = ControlPlane::build(config).await.expect("a control plane");
        let url = format!("https://{}", plane.addresses().listen);
        let mut services = JoinSet::new();
        services.spawn(async move {
            plane
                .run(CancellationToken::new())
                .await
                .expect("it serves");
        });
        Self {
            folder,
            url,
            registry,
            builds: Arc::default(),
            services,
        }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A new connection, by the CAs that are trusted now.
    pub fn channel(&self) -> Channel {
        let trusted = std::fs::read_to_string(self.path("ca.pem")).expect("a file");
        let trusted = Authorities::from_pem(&trusted).expect("CAs");
        let tls = ClientTls::new(&ServerTrust::Authorities(trusted), None).expect("TLS");
        tls.channel(&ClientTls::endpoint(&self.url.parse().expect("a URL")))
    }

    /// A request of who may do everything.
    fn by_admin<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let token = std::fs::read_to_string(self.path("admin-token")).expect("a token");
        let token = format!("Bearer {}", token.trim()).parse();
        let metadata = request.metadata_mut();
        metadata.insert("authorization", token.expect("a header"));
        request
    }

    /// Writes a join token for any number of nodes into a file.
    pub async fn token(&self, file: &str) {
        self.token_for(file, 0).await;
    }

    /// The same for so many; 0: any number.
    pub async fn token_for(&self, file: &str, uses: u32) {
        let request = self.by_admin(CreateJoinTokenRequest {
            uses: Some(uses),
            ..CreateJoinTokenRequest::default()
        });
        let mut client = JoinTokenServiceClient::new(self.channel());
        let created = client.create_join_token(request).await.expect("a token");
        let token = created.into_inner().join_token;
        std::fs::write(self.path(file), token).expect("a write");
    }

    /// Starts the agent of a node with these flags besides, which joins and serves until the returned token is cancelled.
    pub fn start_agent(&mut self, name: &str, url: &str, flags: &[String]) -> CancellationToken {
        let folder = self.path(name);
        let volumes = folder.join("volumes");
        std::fs::create_dir_all(&volumes).expect("a folder");
        let (_, externals) = on_node(name, &volumes, &self.registry, &self.builds);
        let own = [
            "hearth-agent".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--insecure-loopback".to_owned(),
            "--min-free-disk-mib=0".to_owned(),
            format!("--node-name={name}"),
            format!("--state-dir={}", folder.join("state").display()),
            format!("--control-plane={url}"),
        ];
        let config = AgentConfig::try_parse_from(own.iter().chain(flags));
        let config = config.expect("a good command line");
        let stop = CancellationToken::new();
        let (ending, info) = (stop.clone(), info(&volumes));
        self.services.spawn(async move {
            let served = async {
                let app = Box::pin(App::build_with(config, externals, info)).await?;
                app.run(ending.clone()).await
            };
            tokio::select! {
                served = served => served.expect("an orderly end"),
                // One that never joins ends like this.
                () = async { ending.cancelled().await; tokio::time::sleep(PATIENCE).await } => {}
            }
        });
        stop
    }

    pub async fn nodes(&self) -> Vec<Node> {
        let mut client = NodeServiceClient::new(self.channel());
        match client.list_nodes(self.by_admin(ListNodesRequest {})).await {
            Ok(answer) => answer.into_inner().nodes,
            Err(_) => Vec::new(),
        }
    }

    pub async fn until_online(&self, count: usize) {
        let is_online = |node: &&Node| node.state() == NodeState::Online;
        until("nodes", async || {
            self.nodes().await.iter().filter(is_online).count() == count
        })
        .await;
    }

    /// Prepares a workspace; its id and its last state.
    pub async fn prepare(&self, channel: Channel, number: usize) -> (String, WorkspaceState) {
        let mut request: PrepareWorkspaceRequest =
            hearth_tests::client::request("", &repository(number));
        request.until = WatchUntil::Ready.into();
        let mut client = WorkspaceServiceClient::new(channel);
        let stream = client.prepare_workspace(self.by_admin(request)).await;
        let mut stream = stream.expect("a stream").into_inner();
        let (mut id, mut state) = (String::new(), WorkspaceState::Unspecified);
        while let Some(message) = stream.message().await.expect("an event") {
            match message.message {
                Some(Message::Snapshot(snapshot)) => id = snapshot.id,
                Some(Message::Event(event)) => {
                    if let Some(Kind::StateChanged(changed)) = event.kind {
                        state = changed.state();
                    }
                }
                None => {}
            }
        }
        (id, state)
    }

    /// Deletes a workspace: its node is called for it.
    pub async fn delete(&self, channel: Channel, workspace_id: String) {
        let request = self.by_admin(DeleteWorkspaceRequest {
            workspace_id,
            force: false,
        });
        let mut client = WorkspaceServiceClient::new(channel);
        client.delete_workspace(request).await.expect("a deletion");
    }
}

/// Waits until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "waited in vain for {what}");
}

pub fn join_by(file: &Path) -> Vec<String> {
    vec![format!("--join-token-file={}", file.display())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_by_its_token_once_and_needs_it_no_more() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::start(Duration::from_secs(3600)).await;
    world.token("join").await;
    let (flags, url) = (join_by(&world.path("join")), world.url.clone());
    let agent = world.start_agent("node-1", &url, &flags);
    world.until_online(1).await;
    let identity = world.path("node-1/state/identity");
    let mode = |path: &Path| {
        let facts = std::fs::metadata(path).expect("a file");
        facts.permissions().mode() & 0o777
    };
    assert_eq!(mode(&identity), 0o700);
    for file in ["node-key.pem", "node.pem", "ca.pem"] {
        assert_eq!(mode(&identity.join(file)), 0o600, "{file}");
    }
    let (_, state) = world.prepare(world.channel(), 1).await;
    assert_eq!(state, WorkspaceState::Ready);
    agent.cancel();
    until("its end", async || {
        world.nodes().await[0].state() == NodeState::Left
    })
    .await;
    std::fs::remove_file(world.path("join")).expect("a removal");
    until("its lock", async || {
        let lock = std::fs::File::open(world.path("node-1/state/agent.lock")).expect("a file");
        lock.try_lock().is_ok()
    })
    .await;
    world.start_agent("node-1", &url, &flags);
    world.until_online(1).await;
}

/// A server of another CA stands where the control plane should be, and hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_man_in_the_middle_learns_no_token() {
    let mut world = World::start(Duration::from_secs(3600)).await;
    world.token("join").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let flags = join_by(&world.path("join"));
    // It sends the right CA along, and has a certificate of its own for the right name.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "other");
    let key = KeyPair::generate().expect("a key");
    let other = params.self_signed(&key).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let own = own.signed_by(&key, &issuer).expect("a certificate").pem();
    let right = std::fs::read_to_string(world.path("ca.pem")).expect("a file");
    for (name, chain) in [
        ("node-1", own.clone() + &other),
        ("node-2", own + &other + &right),
    ] {
        let agent = world.start_agent(name, &url, &flags);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(chain.expect("certificates"), private)
                .expect("a configuration");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        for _ in 0..3 {
            let (connection, _) = listener.accept().await.expect("a connection");
            let heard = async {
                let mut stream = acceptor.accept(connection).await.ok()?;
                let mut heard = Vec::new();
                let _ = stream.read_to_end(&mut heard).await;
                Some(heard)
            };
            let heard = tokio::time::timeout(PATIENCE, heard)
                .await
                .expect("its end");
            assert!(heard.unwrap_or_default().is_empty());
        }
        agent.cancel();
    }
    assert!(world.nodes().await.is_empty());
}

/// Certificates of a few seconds, a new CA, and calls all the while: none fails.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_certificates_are_renewed_and_the_ca_is_changed() {
    let mut world = World::start(Duration::from_secs(6)).await;
    world.token("join").await;
    let (flags, url) = (join_by(&world.path("join")), world.url.clone());
    for name in ["node-1", "node-2"] {
        world.start_agent(name, &url, &flags);
    }
    world.until_online(2).await;
    let world = Arc::new(world);
    let over = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for worker in 0..3 {
        let (world, over, channel) = (world.clone(), over.clone(), world.channel());
        load.spawn(async move {
            let mut prepared = 0;
            while !over.load(Ordering::Relaxed) {
                let number = worker * 1000 + prepared;
                let (id, state) = world.prepare(channel.clone(), number).await;
                assert_eq!(state, WorkspaceState::Ready);
                world.delete(channel.clone(), id).await;
                prepared += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            prepared
        });
    }
    let certificate = |name: &str| {
        let path = world.path(name).join("state/identity");
        let read = |file| std::fs::read_to_string(path.join(file)).expect("a file");
        (read("node.pem"), read("ca.pem"))
    };
    let renewed = async |trusted: &str| {
        for name in ["node-1", "node-2"] {
            let before = certificate(name).0;
            until("a renewal", async || {
                let (own, known) = certificate(name);
                own != before && known == trusted
            })
            .await;
        }
    };
    let (ca, key) = (world.path("ca.pem"), world.path("ca-key.pem"));
    let old = std::fs::read_to_string(&ca).expect("a file");
    renewed(&old).await;
    // A new CA behind the old one: nodes get to know it.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "the new CA");
    let new_key = KeyPair::generate().expect("a key");
    let new = params.self_signed(&new_key).expect("a certificate").pem();
    std::fs::write(&ca, format!("{old}{new}")).expect("a write");
    renewed(&format!("{old}{new}")).await;
    let digest = |pem: &str| {
        let ca = Authorities::from_pem(pem).expect("a CA");
        ca.fingerprints().remove(0)
    };
    let (old_ca, new_ca) = (digest(&old), digest(&new));
    // The operator sees when they do, and what their certificates are of.
    let trusting = async |issuer: &str, known: &[&str]| {
        until("what nodes know", async || {
            let nodes = world.nodes().await;
            let is_so = |node: &Node| {
                let trust = node.trust.clone().unwrap_or_default();
                trust.issuer_sha256 == issuer && trust.authorities_sha256 == known
            };
            nodes.len() == 2 && nodes.iter().all(is_so)
        })
        .await;
    };
    trusting(&old_ca, &[&old_ca, &new_ca]).await;
    // In front of it: it issues.
    std::fs::write(&key, new_key.serialize_pem()).expect("a write");
    std::fs::write(&ca, format!("{new}{old}")).expect("a write");
    renewed(&format!("{new}{old}")).await;
    trusting(&new_ca, &[&new_ca, &old_ca]).await;
    // Alone.
    std::fs::write(&ca, &new).expect("a write");
    renewed(&new).await;
    over.store(true, Ordering::Relaxed);
    let prepared: usize = load.join_all().await.into_iter().sum();
    assert!(prepared > 3, "{prepared}");
    let nodes = world.nodes().await;
    assert!(
        nodes.iter().all(|node| node.state() == NodeState::Online),
        "{nodes:?}"
    );
    // Who knows the old CA alone takes nobody here for the control plane.
    let trusted = ServerTrust::Authorities(Authorities::from_pem(&old).expect("a CA"));
    let tls = ClientTls::new(&trusted, None).expect("TLS");
    let channel = tls.channel(&ClientTls::endpoint(&url.parse().expect("a URL")));
    let asked = NodeServiceClient::new(channel)
        .list_nodes(ListNodesRequest {})
        .await;
    assert_eq!(
        asked.expect_err("it is another CA").code(),
        Code::Unavailable
    );
}
