//! A control plane with TLS, and who calls it.

use std::{path::Path, time::Duration};

use hearth_api::v1::{
    CreateJoinTokenRequest, EnrolRequest, NodeCertificate, NodeInfo, RegisterRequest,
    RenewCertificateRequest, agent_registry_service_client::AgentRegistryServiceClient,
    join_token_service_client::JoinTokenServiceClient, node_service_client::NodeServiceClient,
};
use hearth_control_plane::{Addresses, CertificateLife, Config, ControlPlane};
use hearth_runtime::{
    Tasks,
    tls::{Authorities, ClientTls, KeyedCertificate, ServerTrust},
};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, transport::Channel};

use super::{plane::Plane, soon};

pub struct TlsPlane {
    pub addresses: Addresses,
    pub folder: TempDir,
    stop: CancellationToken,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

/// A node with its key, and the certificate that it got.
pub struct TlsNode {
    pub name: String,
    pub key: KeyPair,
    pub own: Option<KeyedCertificate>,
}

impl TlsPlane {
    pub async fn start() -> Self {
        Self::with_life(Duration::from_secs(3600)).await
    }

    /// One whose certificates are valid for so long.
    pub async fn with_life(life: Duration) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"), life, &[]).await
    }

    /// One with what is in a folder, and these flags besides.
    pub async fn in_folder(folder: TempDir, life: Duration, flags: &[String]) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let own = [
            "hearth-control-plane".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            format!("--database=sqlite://{}", path("hearth.db")),
            format!("--ca-certificate={}", path("ca.pem")),
            format!("--ca-key={}", path("ca-key.pem")),
            format!("--admin-token-file={}", path("admin-token")),
        ];
        let config = Config::read(own.iter().chain(flags));
        let mut config = config.expect("a good command line");
        config.identity.certificate_minutes = CertificateLife(life);
        let plane = ControlPlane::build(config).await.expect("a control plane");
        let addresses = plane.addresses();
        let (stop, (done, ended)) = (CancellationToken::new(), oneshot::channel());
        let running = plane.run(stop.clone());
        Tasks::default().spawn("control plane", async move {
            let _ = done.send(running.await);
        });
        Self {
            addresses,
            folder,
            stop,
            ended,
        }
    }

    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        let ended = soon("the end", self.ended).await;
        ended.expect("it did not panic").expect("an orderly end");
        self.folder
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("a file")
    }

    /// A new connection of who has this certificate.
    pub fn channel(&self, own: Option<&KeyedCertificate>) -> Channel {
        let trusted = Authorities::from_pem(&self.file("ca.pem")).expect("a CA");
        self.channel_to(&trusted, own)
    }

    /// The same by these CAs.
    pub fn channel_to(&self, trusted: &Authorities, own: Option<&KeyedCertificate>) -> Channel {
        let trust = ServerTrust::Authorities(trusted.clone());
        let tls = ClientTls::new(&trust, own).expect("TLS");
        let url = format!("https://{}", self.addresses.listen);
        tls.channel(&ClientTls::endpoint(&url.parse().expect("a URL")))
    }

    pub fn registry(&self, own: Option<&KeyedCertificate>) -> AgentRegistryServiceClient<Channel> {
        AgentRegistryServiceClient::new(self.channel(own))
    }

    pub fn tokens(&self) -> JoinTokenServiceClient<Channel> {
        JoinTokenServiceClient::new(self.channel(None))
    }

    pub fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel(None))
    }

    /// A join token's id, its secret, and the CA that it names.
    pub async fn token(&self, request: CreateJoinTokenRequest) -> (String, String, String) {
        let created = self
            .tokens()
            .create_join_token(self.by_admin(request))
            .await;
        let created = created.expect("a token").into_inner();
        let (secret, ca) = created.join_token.split_once('@').expect("both parts");
        let id = created.token.expect("a token").id;
        (id, secret.to_owned(), ca.to_owned())
    }

    /// A request of who may do everything.
    pub fn by_admin<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let token = format!("Bearer {}", self.file("admin-token").trim());
        let token = token.parse().expect("a header");
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// What the admin port says.
    pub async fn admin(&self, path: &str) -> String {
        Plane::at(self.addresses).admin(path).await
    }

    /// Does something to the database while it is used.
    pub async fn execute(&self, statement: &'static str) {
        use sqlx::Connection as _;
        let url = format!(
            "sqlite://{}",
            self.folder.path().join("hearth.db").display()
        );
        let mut database = sqlx::SqliteConnection::connect(&url)
            .await
            .expect("a database");
        sqlx::query(statement)
            .execute(&mut database)
            .await
            .expect("a change");
    }
}

impl TlsNode {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            key: KeyPair::generate().expect("a key"),
            own: None,
        }
    }

    pub fn request(&self) -> Vec<u8> {
        let request = CertificateParams::default().serialize_request(&self.key);
        request.expect("a request").der().to_vec()
    }

    fn take(&mut self, certificate: Option<NodeCertificate>) -> NodeCertificate {
        let certificate = certificate.expect("a certificate");
        let own = KeyedCertificate::from_pem(&certificate.chain, &self.key.serialize_pem());
        self.own = Some(own.expect("they fit"));
        certificate
    }

    /// Joins with the secret of a token.
    pub async fn enrol(
        &mut self,
        plane: &TlsPlane,
        secret: &str,
    ) -> Result<NodeCertificate, Status> {
        let request = EnrolRequest {
            node: self.name.clone(),
            certificate_request: self.request(),
            join_token: secret.into(),
            ..EnrolRequest::default()
        };
        let answer = plane.registry(None).enrol(request).await?;
        Ok(self.take(answer.into_inner().certificate))
    }

    pub async fn renew(&mut self, plane: &TlsPlane) -> Result<NodeCertificate, Status> {
        let request = RenewCertificateRequest {
            certificate_request: self.request(),
        };
        let answer = plane
            .registry(self.own.as_ref())
            .renew_certificate(request)
            .await?;
        Ok(self.take(answer.into_inner().certificate))
    }

    /// Registers by its certificate as the node of this name; the session.
    pub async fn register_as(&self, plane: &TlsPlane, name: &str) -> Result<String, Status> {
        let answer = plane
            .registry(self.own.as_ref())
            .register(registration(name))
            .await?;
        Ok(answer.into_inner().session_token)
    }
}

pub fn registration(name: &str) -> RegisterRequest {
    RegisterRequest {
        node: name.into(),
        info: Some(NodeInfo {
            platform: "linux/amd64".into(),
            boot_id: "b".into(),
            ..NodeInfo::default()
        }),
        ..RegisterRequest::default()
    }
}

/// Everything in the files of a folder.
pub fn contents(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        std::fs::read(file.expect("a file").path()).expect("its content")
    };
    files.flat_map(read).collect()
}
