//! An Enterprise Server whose certificate is of the company's own making is trusted where the machine trusts it: in
//! the process as it is started, since trust is a matter of the machine.

use std::{path::Path, process::Stdio, sync::Arc};

use hearth_api::v1::{
    CredentialProblem, CredentialProblemReason as Reason, NodeInfo, RegisterRequest,
    agent_registry_service_client::AgentRegistryServiceClient,
    credential_service_client::CredentialServiceClient,
    workspace_service_client::WorkspaceServiceClient,
};
use hearth_runtime::Tasks;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::{Child, Command},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};
use tonic::{Request, transport::Channel};

use crate::support::{logins::question, plane::shop, soon};

/// What an Enterprise Server is asked first, below the path of its API.
const LOOKUP: &[u8] = b"GET /api/v3/repos/acme/shop/installation ";

/// A certificate authority: its certificate as PEM, and what it signs with.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (pem, Issuer::new(params, key))
}

/// A server on this machine that answers the one question with 404, under a certificate of `authority`; its address.
async fn server(tasks: &Tasks, authority: &Issuer<'static, KeyPair>) -> String {
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tasks.spawn("server", async move {
        while let Ok((connection, _)) = listener.accept().await {
            // A client that does not trust it hangs up.
            let Ok(mut connection) = acceptor.accept(connection).await else {
                continue;
            };
            let mut request = [0; 8192];
            let length = connection.read(&mut request).await.unwrap_or_default();
            let status = if request[..length].starts_with(LOOKUP) {
                "404 Not Found"
            } else {
                "400 Bad Request"
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            let _ = connection.write_all(answer.as_bytes()).await;
            let _ = connection.shutdown().await;
        }
    });
    format!("localhost:{port}")
}

/// Starts the control plane on a machine that trusts `trusted`; the process and its URL.
async fn start(directory: &Path, trusted: &str, host: &str) -> (Child, String) {
    let file = |name: &str| directory.join(name);
    std::fs::write(file("trusted.pem"), trusted).expect("a write");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    std::fs::write(file("app.pem"), key.serialize_pem()).expect("a write");
    let process = Command::new(env!("CARGO_BIN_EXE_hearth-control-plane"))
        .args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
        .args(["--insecure-loopback", "--cache-registry=localhost:1"])
        .args(["--credentials=github-app", "--github-app-id=7"])
        .arg(format!("--github-api-url=https://{host}/api/v3"))
        .arg(format!("--github-hosts={host}"))
        .arg("--github-app-key-file")
        .arg(file("app.pem"))
        .arg("--database")
        .arg(format!("sqlite://{}", file("hearth.db").display()))
        .arg("--ready-file")
        .arg(file("ready.json"))
        .env("SSL_CERT_FILE", file("trusted.pem"))
        .env_remove("SSL_CERT_DIR")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let ready = async {
        loop {
            if let Ok(text) = tokio::fs::read(file("ready.json")).await {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let ready = soon("the control plane", ready).await;
    let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
    let listen = ready["listen"].as_str().expect("an address");
    (process, format!("http://{listen}"))
}

/// Asks for the logins of a repository on `host`, and says what was wrong.
async fn problem(url: String, host: &str) -> CredentialProblem {
    let channel = Channel::from_shared(url).expect("a URL").connect_lazy();
    let registration = RegisterRequest {
        node: "n1".into(),
        info: Some(NodeInfo {
            platform: "linux/amd64".into(),
            boot_id: "b".into(),
            ..NodeInfo::default()
        }),
        ..RegisterRequest::default()
    };
    let mut registry = AgentRegistryServiceClient::new(channel.clone());
    let registered = registry.register(registration).await.expect("a session");
    let session = registered.into_inner().session_token;
    let mut request = shop();
    request.spec.as_mut().expect("a spec").repository = format!("https://{host}/acme/shop");
    let mut workspaces = WorkspaceServiceClient::new(channel.clone());
    workspaces
        .prepare_workspace(request)
        .await
        .expect("a workspace");
    let listed = workspaces.list_workspaces(hearth_api::v1::ListWorkspacesRequest::default());
    let listed = listed.await.expect("a list").into_inner().workspaces;
    let mut question = Request::new(question(&listed[0].id));
    let bearer = format!("Bearer {session}").parse().expect("a value");
    question.metadata_mut().insert("authorization", bearer);
    let mut credentials = CredentialServiceClient::new(channel);
    let answer = credentials.refresh_credentials(question).await;
    answer.expect("an answer").into_inner().problems.remove(0)
}

#[tokio::test]
async fn github_is_trusted_where_the_machine_trusts_its_certificate_and_nowhere_else() {
    let tasks = Tasks::default();
    let ((ours, signs), (theirs, _)) = (authority(), authority());
    let host = server(&tasks, &signs).await;
    for (trusted, reason) in [(ours, Reason::NotInstalled), (theirs, Reason::Unreachable)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (_process, url) = start(directory.path(), &trusted, &host).await;
        let problem = soon("an answer", problem(url, &host)).await;
        assert_eq!(problem.reason(), reason, "{problem:?}");
        let of_certificate = problem.message.contains("certificate");
        assert_eq!(of_certificate, reason == Reason::Unreachable, "{problem:?}");
    }
}
