//! Certificates in each other's place, and those of the port that an operator brings.

use std::time::Duration;

use hearth_api::v1::{
    ClientScope, CreateClientRequest, CreateJoinTokenRequest, GetCallerRequest,
    IssueCertificateRequest, ListNodesRequest, client_service_client::ClientServiceClient,
    node_service_client::NodeServiceClient,
};
use hearth_runtime::tls::{Authorities, KeyedCertificate};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tonic::{Code, Status};

use crate::support::{
    logs,
    plane::by,
    refusals::reason,
    soon,
    tls::{TlsNode, TlsPlane},
};

const HOUR: Duration = Duration::from_secs(3600);

fn refused<T>(answer: Result<T, Status>) -> (Code, String) {
    let Err(status) = answer else {
        panic!("it was let in");
    };
    (status.code(), reason(&status))
}

#[tokio::test]
async fn a_certificate_counts_in_its_own_place_alone() {
    let plane = TlsPlane::start().await;
    let (_, secret, _) = plane.token(CreateJoinTokenRequest::default()).await;
    let mut node = TlsNode::new("n1");
    node.enrol(&plane, &secret).await.expect("a certificate");
    // A client that has the name of the node.
    let mut clients = ClientServiceClient::new(plane.channel(None));
    let created = clients.create_client(plane.by_admin(CreateClientRequest {
        name: "n1".into(),
        scopes: vec![ClientScope::Admin.into()],
        ..CreateClientRequest::default()
    }));
    let token = created.await.expect("a client").into_inner().token;
    let mut client = TlsNode::new("n1");
    let csr = client.request();
    let issued = clients.issue_certificate(by(&token, IssueCertificateRequest { csr }));
    let chain = issued.await.expect("a certificate").into_inner();
    let chain = chain.certificate_chain;
    let own = KeyedCertificate::from_pem(&chain, &client.key.serialize_pem());
    client.own = Some(own.expect("they fit"));

    let (code, why) = refused(client.register_as(&plane, "n1").await);
    assert_eq!((code, &*why), (Code::Unauthenticated, "CALLER_UNKNOWN"));
    let (code, why) = refused(client.renew(&plane).await);
    assert_eq!((code, &*why), (Code::Unauthenticated, "CALLER_UNKNOWN"));
    // The node's is none of a client's, and its session is no token.
    let session = node.register_as(&plane, "n1").await.expect("a session");
    let mut nodes = NodeServiceClient::new(plane.channel(node.own.as_ref()));
    let (code, why) = refused(nodes.list_nodes(ListNodesRequest {}).await);
    assert_eq!((code, &*why), (Code::PermissionDenied, "NOT_ALLOWED"));
    let (code, why) = refused(nodes.list_nodes(by(&session, ListNodesRequest {})).await);
    assert_eq!((code, &*why), (Code::Unauthenticated, "CALLER_UNKNOWN"));
    // Each in its own place.
    let mut clients = ClientServiceClient::new(plane.channel(client.own.as_ref()));
    clients
        .get_caller(GetCallerRequest {})
        .await
        .expect("a client");
    node.renew(&plane).await.expect("a certificate");
    plane.stop().await;
}

/// The control plane ends after it has noted who joined, and its answer is lost.
#[tokio::test]
async fn a_node_whose_answer_was_lost_with_the_control_plane_joins_by_the_same_token() {
    let plane = TlsPlane::start().await;
    let (_, once, _) = plane.token(CreateJoinTokenRequest::default()).await;
    let (mut node, mut other) = (TlsNode::new("n1"), TlsNode::new("n1"));
    node.enrol(&plane, &once).await.expect("a certificate");
    node.own = None;
    let plane = TlsPlane::in_folder(plane.stop().await, HOUR, &[]).await;
    let refused = other.enrol(&plane, &once).await.expect_err("it was used");
    assert!(
        refused.message().contains("hearth token create"),
        "{refused:?}"
    );
    node.enrol(&plane, &once).await.expect("a certificate");
    node.register_as(&plane, "n1").await.expect("a session");
    plane.stop().await;
}

/// A CA, and a certificate of the port by it.
fn brought(ends_in: Duration, is_over: bool) -> (Authorities, String, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let name = format!("{:?}", key.public_key_raw());
    params.distinguished_name.push(DnType::CommonName, name);
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let now = std::time::SystemTime::now();
    params.not_after = match is_over {
        true => (now - ends_in).into(),
        false => (now + ends_in).into(),
    };
    let key = KeyPair::generate().expect("a key");
    let own = params.signed_by(&key, &issuer).expect("a certificate");
    let ca = Authorities::from_pem(&ca).expect("a CA");
    (ca, own.pem(), key.serialize_pem())
}

#[tokio::test]
async fn the_ports_certificate_is_exchanged_whole_or_not_at_all() {
    logs::capture();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (certificate, key) = (path("port.pem"), path("port-key.pem"));
    let write = |file: &std::path::Path, text: &str| std::fs::write(file, text).expect("a write");
    let (first, pem, private) = brought(HOUR, false);
    write(&certificate, &pem);
    write(&key, &private);
    let flags = [
        format!("--tls-certificate={}", certificate.display()),
        format!("--tls-key={}", key.display()),
    ];
    let plane = TlsPlane::in_folder(folder, HOUR, &flags).await;
    let answers = async |trusted: &Authorities| {
        let mut clients = ClientServiceClient::new(plane.channel_to(trusted, None));
        let asked = clients
            .get_caller(plane.by_admin(GetCallerRequest {}))
            .await;
        asked.is_ok()
    };
    let warned = async |why: &str| {
        let is_it = |line: &str| line.contains("stay as they were") && line.contains(why);
        while !logs::captured().lines().any(is_it) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(answers(&first).await);

    // Half of it, broken halves, and one that nobody would accept: each is told, and changes nothing.
    let (second, pem, private) = brought(HOUR, false);
    let (_, old, old_key) = brought(HOUR, true);
    for (own, own_key, why) in [
        (&*pem, None, "do not fit together"),
        (&pem[..pem.len() / 2], None, "in PEM"),
        (&*old, Some(&*old_key), "the certificate has expired"),
    ] {
        if let Some(own_key) = own_key {
            write(&key, own_key);
        }
        write(&certificate, own);
        soon("a warning", warned(why)).await;
        assert!(answers(&first).await, "{why}");
    }
    write(&key, &private);
    write(&certificate, &pem);
    soon("the new certificate", async {
        while !answers(&second).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!answers(&first).await);
    plane.stop().await;
}
