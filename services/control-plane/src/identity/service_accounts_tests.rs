//! Against a stand-in for the API server that asks of the control plane what the real one does: TLS of the cluster's CA, the
//! token of a service account that may create reviews, and a review of the right kind.

use std::{net::SocketAddr, sync::Arc};

use hearth_runtime::Tasks;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use super::*;

const OWN: &str = "the-token-of-the-control-plane";

/// A cluster: its folder in the pod of the control plane, and where its API server listens.
struct Cluster {
    folder: tempfile::TempDir,
    address: SocketAddr,
    tasks: Tasks,
}

impl Cluster {
    /// Its API server knows these tokens, each with the status that it gives for the audience that it is for.
    async fn start(tokens: &[(&'static str, &'static str, Value)]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), format!("{OWN}\n")).expect("a write");
        std::fs::write(folder.path().join("ca.crt"), ca).expect("a write");
        let (tasks, tokens) = (Tasks::default(), tokens.to_vec());
        tasks.spawn("API server", async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(mut connection) = acceptor.accept(connection).await else {
                    continue;
                };
                let (head, body) = read(&mut connection).await;
                let (status, answer) = judge(&head, &body, &tokens);
                let answer = answer.to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                    answer.len()
                );
                connection
                    .write_all(answer.as_bytes())
                    .await
                    .expect("an answer");
                let _ = connection.shutdown().await;
            }
        });
        Self {
            folder,
            address,
            tasks,
        }
    }

    fn accounts(&self) -> ServiceAccounts {
        ServiceAccounts {
            allowed: vec!["hearth/agent".parse().expect("an account")],
            api: format!("https://{}", self.address),
            folder: self.folder.path().to_owned(),
        }
    }

    async fn asked(&self, token: &str, node: &str) -> Result<(), String> {
        let node = node.parse().expect("a name");
        let asked = self.accounts().check(&token.to_owned().into(), &node).await;
        asked.map(drop).map_err(|error| error.to_string())
    }
}

async fn read(connection: &mut (impl AsyncRead + Unpin)) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = connection.read(&mut piece).await.expect("a request");
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length
            .split("\r\n")
            .next()
            .expect("it")
            .parse()
            .expect("a number");
        if body.len() >= length {
            return (head.clone(), serde_json::from_str(body).expect("JSON"));
        }
    }
}

fn judge(head: &str, body: &Value, tokens: &[(&str, &str, Value)]) -> (&'static str, Value) {
    let path = "post /apis/authentication.k8s.io/v1/tokenreviews http/1.1";
    if !head.starts_with(path) || body["kind"] != "TokenReview" {
        return ("404 Not Found", json!({}));
    }
    if !head.contains(&format!("authorization: bearer {OWN}\r\n")) {
        return ("401 Unauthorized", json!({}));
    }
    let (token, audiences) = (&body["spec"]["token"], body["spec"]["audiences"].as_array());
    let known = tokens.iter().find(|(known, _, _)| token == known);
    let is_for =
        |audience: &str| audiences.is_some_and(|asked| asked.iter().any(|asked| asked == audience));
    let status = match known {
        Some((_, audience, status)) if is_for(audience) => status.clone(),
        _ => json!({ "authenticated": false, "error": "invalid bearer token" }),
    };
    (
        "201 Created",
        json!({ "kind": "TokenReview", "status": status }),
    )
}

fn of(account: &str, node: &str, pod: &str) -> Value {
    json!({
        "authenticated": true,
        "audiences": ["hearth"],
        "user": { "username": account, "extra": {
            "authentication.kubernetes.io/node-name": [node],
            "authentication.kubernetes.io/pod-name": [pod],
        }},
    })
}

#[tokio::test]
async fn a_pod_of_an_allowed_account_joins_by_its_name_or_its_machines() {
    let agent = "system:serviceaccount:hearth:agent";
    let bare =
        json!({ "authenticated": true, "audiences": ["hearth"], "user": { "username": agent } });
    let mut unaware = of(agent, "node-1", "agent-x");
    unaware
        .as_object_mut()
        .expect("an object")
        .remove("audiences");
    let cluster = Cluster::start(&[
        ("good", "hearth", of(agent, "node-1", "agent-x")),
        (
            "foreign",
            "hearth",
            of("system:serviceaccount:other:agent", "node-1", "agent-x"),
        ),
        (
            "audience",
            "https://kubernetes.default.svc",
            of(agent, "node-1", "agent-x"),
        ),
        ("unbound", "hearth", bare),
        // An authenticator that does not know of audiences says none.
        ("unaware", "hearth", unaware),
    ])
    .await;
    for node in ["node-1", "agent-x"] {
        assert_eq!(cluster.asked("good", node).await, Ok(()));
    }
    for (token, node, why) in [
        ("good", "node-2", "is of another node"),
        ("foreign", "node-1", "system:serviceaccount:other:agent"),
        ("audience", "node-1", "not valid"),
        ("unbound", "node-1", "is of another node"),
        ("unaware", "node-1", "not for the audience"),
        ("unknown", "node-1", "not valid"),
    ] {
        let refused = cluster.asked(token, node).await.expect_err(token);
        assert!(refused.contains(why), "{token}: {refused}");
    }
    cluster.tasks.stopping().cancel();
}

#[tokio::test]
async fn an_api_server_that_does_not_judge_lets_nobody_in() {
    let cluster = Cluster::start(&[("good", "hearth", of("x", "node-1", "pod"))]).await;
    let fails = async |cluster: &Cluster| {
        let node = "node-1".parse().expect("a name");
        let asked = cluster
            .accounts()
            .check(&"good".to_owned().into(), &node)
            .await;
        assert!(
            matches!(asked, Err(IdentityError::NoApiServer)),
            "{asked:?}"
        );
    };
    // Its own token is read anew each time, and is wrong now.
    std::fs::write(cluster.folder.path().join("token"), "old").expect("a write");
    fails(&cluster).await;
    std::fs::write(cluster.folder.path().join("token"), OWN).expect("a write");
    // Another CA than that of the server.
    let other = Cluster::start(&[]).await;
    std::fs::copy(
        other.folder.path().join("ca.crt"),
        cluster.folder.path().join("ca.crt"),
    )
    .expect("a copy");
    fails(&cluster).await;
}
