mod chains;

use std::{
    net::SocketAddr,
    pin::Pin,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, StreamExt as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::transport::{Uri, server::Connected as _};

use super::*;
use crate::{Metrics, Peer, Port, peer::Accepted};

/// Nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A CA and what it issues.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let name = hearth_domain::sha256_hex(key.public_key_raw());
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    fn authorities(&self) -> Authorities {
        Authorities::from_pem(&self.pem).unwrap()
    }

    fn pin(&self) -> String {
        sha256(&self.authorities())
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> KeyedCertificate {
        let mut params = CertificateParams::default();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // The CA is sent along.
        let chain = certificate.pem() + &self.pem;
        KeyedCertificate::from_pem(&chain, &key.serialize_pem()).unwrap()
    }

    fn server(&self, name: &str) -> KeyedCertificate {
        self.issue(|params| {
            params.subject_alt_names = CertificateParams::new([name.to_owned()])
                .unwrap()
                .subject_alt_names;
        })
    }

    fn client(&self, uris: &[&str]) -> KeyedCertificate {
        self.issue(|params| {
            let uris = uris.iter();
            params.subject_alt_names = uris
                .map(|uri| SanType::URI((*uri).try_into().unwrap()))
                .collect();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }
}

fn sha256(authorities: &Authorities) -> String {
    hearth_domain::sha256_hex(authorities.first())
}

/// A port, and who came in.
struct Server {
    tls: ServerTls,
    uri: Uri,
    address: SocketAddr,
    connections: Pin<Box<dyn Stream<Item = std::io::Result<Accepted>> + Send>>,
}

impl Server {
    async fn start(own: KeyedCertificate, clients: &Ca) -> Self {
        let tls = ServerTls::new(own, &clients.authorities(), &Metrics::default()).unwrap();
        Self::with(tls).await
    }

    async fn with(tls: ServerTls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            uri: format!("https://{address}").parse().unwrap(),
            address,
            connections: Box::pin(Port::with_tls(listener, tls.clone()).connections()),
            tls,
        }
    }

    /// Who comes in next.
    async fn next(&mut self) -> (Peer, Accepted) {
        let next = timeout(PATIENCE, self.connections.next()).await;
        let accepted = next.expect("a connection").unwrap().unwrap();
        (accepted.connect_info(), accepted)
    }

    /// Connects: who came in, or what the client hears.
    async fn meets(&mut self, client: &ClientTls) -> Result<Peer, String> {
        let uri = self.uri.clone();
        let attempt = async {
            let mut stream = client.connect(&uri).await?;
            // A server may refuse after the client's end of the handshake.
            let mut byte = [0];
            stream.read_exact(&mut byte).await.map(drop)
        };
        let mut attempt = std::pin::pin!(attempt);
        tokio::select! {
            refused = &mut attempt => {
                let error = refused.unwrap_err();
                Err(refused_server(&error).unwrap_or_else(|| error.to_string()))
            }
            (peer, mut accepted) = self.next() => {
                accepted.write_all(b"x").await.unwrap();
                accepted.flush().await.unwrap();
                attempt.await.unwrap();
                Ok(peer)
            }
        }
    }
}

fn client(trusts: &Ca, own: Option<&KeyedCertificate>) -> ClientTls {
    ClientTls::new(&ServerTrust::Authorities(trusts.authorities()), own).unwrap()
}

#[tokio::test]
async fn a_client_may_have_a_certificate_of_the_ca_and_is_known_by_it() {
    let ca = Ca::new();
    let mut server = Server::start(ca.server("127.0.0.1"), &ca).await;
    let peer = server.meets(&client(&ca, None)).await.unwrap();
    assert!(peer.certificate.is_none() && peer.address.is_some());
    for uri in ["spiffe://hearth/node/n1", "spiffe://hearth/client/ci"] {
        let own = ca.client(&[uri]);
        let peer = server.meets(&client(&ca, Some(&own))).await.unwrap();
        let certificate = peer.certificate.unwrap();
        assert_eq!(certificate.identity.to_string(), uri);
        assert!(certificate.not_after > SystemTime::now());
    }
    assert_eq!(server.tls.refused.get(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_that_has_ended_or_names_nobody_of_hearth_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let mut server = Server::start(ca.server("127.0.0.1"), &ca).await;
    let expired = ca.issue(|params| {
        let uri = "spiffe://hearth/node/n1".try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
    });
    for (own, why) in [
        (other.client(&["spiffe://hearth/node/n1"]), "UnknownCA"),
        (expired, "CertificateExpired"),
        (ca.client(&["https://hearth/node/n1"]), "CertificateUnknown"),
        (
            ca.client(&["spiffe://hearth/node/A B"]),
            "CertificateUnknown",
        ),
        (
            ca.client(&["spiffe://hearth/node/n1", "spiffe://hearth/node/n2"]),
            "CertificateUnknown",
        ),
        (ca.client(&[]), "CertificateUnknown"),
        (ca.server("127.0.0.1"), "CertificateUnknown"),
    ] {
        let before = server.tls.refused.get();
        let refused = server.meets(&client(&ca, Some(&own))).await.unwrap_err();
        assert!(refused.contains(why), "{refused}, not {why}");
        assert!(server.tls.refused.get() > before);
    }
    server.meets(&client(&ca, None)).await.unwrap();
}

#[tokio::test]
async fn a_server_has_to_be_of_the_ca_and_to_have_the_name() {
    let (ca, other) = (Ca::new(), Ca::new());
    let pinned = |ca: &Ca| ClientTls::new(&ServerTrust::Pinned(ca.pin()), None).unwrap();
    let mut server = Server::start(ca.server("127.0.0.1"), &ca).await;
    server.meets(&pinned(&ca)).await.unwrap();
    let why = server.meets(&client(&other, None)).await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    let why = server.meets(&pinned(&other)).await.unwrap_err();
    assert!(
        why.starts_with("the server is not of the CA") && why.contains("hearth token create"),
        "{why}"
    );
    let mut server = Server::start(ca.server("plane.example"), &ca).await;
    for named in [client(&ca, None), pinned(&ca)] {
        let why = server.meets(&named).await.unwrap_err();
        assert!(why.contains("not valid for name"), "{why}");
    }
    // One that sends the CA along, whose own certificate is another's.
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::NoCa;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &other.issuer).unwrap();
    let chain = certificate.pem() + &other.pem + &ca.pem;
    let own = KeyedCertificate::from_pem(&chain, &key.serialize_pem()).unwrap();
    let mut server = Server::start(own, &ca).await;
    let why = server.meets(&pinned(&ca)).await.unwrap_err();
    assert!(why.contains("not of a CA that is trusted"), "{why}");
}

#[tokio::test]
async fn certificate_and_trust_are_exchanged_while_it_serves() {
    let (old, new) = (Ca::new(), Ca::new());
    let mut server = Server::start(old.server("127.0.0.1"), &old).await;
    let node = |ca: &Ca| ca.client(&["spiffe://hearth/node/n1"]);
    let tls = client(&old, Some(&node(&old)));
    let (uri, connecting) = (server.uri.clone(), tls.clone());
    let mut before = JoinSet::new();
    before.spawn(async move { connecting.connect(&uri).await.unwrap() });
    let (_, mut accepted) = server.next().await;
    let mut stream = before.join_next().await.unwrap().unwrap();
    server
        .tls
        .exchange(new.server("127.0.0.1"), &new.authorities())
        .unwrap();
    assert!(server.meets(&tls).await.is_err());
    tls.exchange(
        &ServerTrust::Authorities(new.authorities()),
        Some(&node(&new)),
    )
    .unwrap();
    let peer = server.meets(&tls).await.unwrap();
    assert!(peer.certificate.is_some());
    // What was open stays.
    accepted.write_all(b"still").await.unwrap();
    accepted.flush().await.unwrap();
    let mut text = [0; 5];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still");
}

#[tokio::test]
async fn slow_and_malformed_handshakes_hold_up_nobody_and_end() {
    let ca = Ca::new();
    let mut tls = ServerTls::new(
        ca.server("127.0.0.1"),
        &ca.authorities(),
        &Metrics::default(),
    )
    .unwrap();
    (tls.handshakes, tls.handshake) = (3, PATIENCE);
    let mut server = Server::with(tls).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 1, 0, 0],
        &[0; 4096],
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::select! {
            // Reset, or with an alert.
            _ = stream.read_to_end(&mut answer) => {}
            _ = server.next() => panic!("it came in"),
        }
        assert!(answer.len() < 16, "{answer:?}");
    }
    server.meets(&client(&ca, None)).await.unwrap();
    // More than may go on at once: the oldest ends.
    for _ in 0..3 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut byte = [0];
    tokio::select! {
        read = timeout(PATIENCE, silent[0].read(&mut byte)) => {
            assert!(!matches!(read.expect("it ends"), Ok(1..)));
        }
        _ = server.next() => panic!("it came in"),
    }
    server.meets(&client(&ca, None)).await.unwrap();
    assert!(server.tls.refused.get() > 0);
}

#[tokio::test]
async fn a_handshake_ends_after_its_time() {
    let ca = Ca::new();
    let mut tls = ServerTls::new(
        ca.server("127.0.0.1"),
        &ca.authorities(),
        &Metrics::default(),
    )
    .unwrap();
    tls.handshake = Duration::from_millis(1);
    let mut server = Server::with(tls).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut byte = [0];
    tokio::select! {
        read = timeout(PATIENCE, silent.read(&mut byte)) => {
            assert!(matches!(read.expect("it ends"), Ok(0) | Err(_)));
        }
        _ = server.next() => panic!("it came in"),
    }
    assert_eq!(server.tls.refused.get(), 1);
}

#[test]
fn a_key_of_another_certificate_and_texts_that_are_none_are_refused() {
    let ca = Ca::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::default()
        .signed_by(&key, &ca.issuer)
        .unwrap()
        .pem();
    let read = |chain: &str, key: &str| KeyedCertificate::from_pem(chain, key).map(drop);
    let (key, other) = (key.serialize_pem(), other.serialize_pem());
    assert!(read(&certificate, &key).is_ok());
    assert!(matches!(
        read(&certificate, &other),
        Err(TlsError::OtherKey)
    ));
    assert!(matches!(read("", &key), Err(TlsError::NoCertificate)));
    assert!(matches!(read(&key, &key), Err(TlsError::NoCertificate)));
    assert!(matches!(
        read(&certificate, &certificate),
        Err(TlsError::NoKey)
    ));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        read(broken, &key),
        Err(TlsError::MalformedCertificates)
    ));
    // A key beside the CAs is not told to anybody.
    let both = Authorities::from_pem(&format!("{key}{}", ca.pem)).unwrap();
    assert_eq!(both.to_pem(), ca.pem.replace('\r', ""));
}
