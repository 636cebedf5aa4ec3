//! What is in certificates, and who has certified those who issued them.

use super::*;

const NODE: &str = "spiffe://hearth/node/n1";

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

impl Ca {
    /// Another CA, which this one has certified.
    fn certifies(&self) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let name = hearth_domain::sha256_hex(key.public_key_raw());
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self {
            pem: own + &self.pem,
            issuer: Issuer::new(params, key),
        }
    }
}

#[tokio::test]
async fn a_certificate_names_one_node_or_client_and_is_for_clients() {
    let ca = Ca::new();
    let mut server = Server::start(ca.server("127.0.0.1"), &ca).await;
    let of = |names: Vec<SanType>, usages: Vec<ExtendedKeyUsagePurpose>| {
        ca.issue(|params| {
            params.subject_alt_names = names;
            params.extended_key_usages = usages;
        })
    };
    let client_auth = || vec![ExtendedKeyUsagePurpose::ClientAuth];
    for refused in [
        of(
            vec![uri(NODE), uri("spiffe://hearth/client/ci")],
            client_auth(),
        ),
        of(vec![uri(NODE), uri(NODE)], client_auth()),
        of(vec![uri(NODE), uri("https://other")], client_auth()),
        of(vec![uri("spiffe://hearth/node/")], client_auth()),
        of(vec![uri("spiffe://other/node/n1")], client_auth()),
        of(vec![dns("n1"), dns("spiffe.hearth")], client_auth()),
        of(vec![], client_auth()),
        // That of a port, with the name of a node in it.
        of(
            vec![uri(NODE), dns("plane")],
            vec![ExtendedKeyUsagePurpose::ServerAuth],
        ),
    ] {
        let why = server.meets(&client(&ca, Some(&refused))).await;
        assert!(why.unwrap_err().contains("alert"), "{refused:?}");
    }
    // Other kinds of names say nothing.
    let named = of(vec![dns("other"), uri(NODE)], client_auth());
    let peer = server.meets(&client(&ca, Some(&named))).await.unwrap();
    assert_eq!(peer.certificate.unwrap().identity.to_string(), NODE);
}

#[tokio::test]
async fn a_node_is_no_server_whatever_its_certificate_is_called() {
    let ca = Ca::new();
    let node = ca.issue(|params| {
        params.subject_alt_names = vec![uri(NODE), SanType::IpAddress([127, 0, 0, 1].into())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let mut server = Server::start(node, &ca).await;
    for trust in [
        ServerTrust::Authorities(ca.authorities()),
        ServerTrust::Issuers(ca.authorities()),
        ServerTrust::Pinned(ca.pin()),
    ] {
        let tls = ClientTls::new(&trust, None).unwrap();
        let why = server.meets(&tls).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
    }
}

/// An operator's CA comes with those above it, which certify others too.
#[tokio::test]
async fn what_a_ca_above_has_certified_is_not_of_this_fleet() {
    let root = Ca::new();
    let (own, other) = (root.certifies(), root.certifies());
    let mut server = Server::start(own.server("127.0.0.1"), &own).await;
    let node = own.client(&[NODE]);
    let issuers = |ca: &Ca| ServerTrust::Issuers(ca.authorities());
    let tls = ClientTls::new(&issuers(&own), Some(&node)).unwrap();
    let peer = server.meets(&tls).await.unwrap();
    assert!(peer.certificate.is_some());
    let stranger = other.client(&[NODE]);
    let tls = ClientTls::new(&issuers(&own), Some(&stranger)).unwrap();
    let why = server.meets(&tls).await.unwrap_err();
    assert!(why.contains("UnknownCA"), "{why}");

    let mut server = Server::start(other.server("127.0.0.1"), &own).await;
    let tls = ClientTls::new(&issuers(&own), None).unwrap();
    let why = server.meets(&tls).await.unwrap_err();
    assert!(why.contains("not of a CA that is trusted"), "{why}");
    // Who trusts the CA above does.
    let tls = ClientTls::new(&ServerTrust::Authorities(root.authorities()), None).unwrap();
    server.meets(&tls).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named() {
    let ca = Ca::new();
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    for (from, to, word) in [
        (now + day, now + 2 * day, "may be behind"),
        (now - 2 * day, now - day, "may be ahead"),
    ] {
        let own = ca.issue(|params| {
            params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
            (params.not_before, params.not_after) = (from.into(), to.into());
        });
        let mut server = Server::start(own, &ca).await;
        let why = server.meets(&client(&ca, None)).await.unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}
