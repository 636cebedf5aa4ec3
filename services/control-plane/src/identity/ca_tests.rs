use std::{os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{BasicConstraints, IsCa, Issuer, PKCS_ECDSA_P384_SHA384};
use x509_parser::prelude::parse_x509_certificate;

use super::*;

fn open(folder: &Path) -> Result<Ca, CaError> {
    let files = CaFiles {
        certificate: folder.join("ca.pem"),
        key: folder.join("ca-key.pem"),
    };
    Ca::open(files, Duration::from_secs(3600))
}

fn node() -> Identity {
    "spiffe://hearth/node/n1".parse().expect("an identity")
}

/// A request by this key, for what nobody gets.
fn request(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(["plane.example".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = params.serialize_request(key).expect("a request");
    request.der().to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    let all = Authorities::from_pem(pem).expect("certificates");
    all.first().to_vec()
}

#[test]
fn a_ca_is_made_once_and_its_key_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = open(folder.path()).expect("a CA");
    let key = folder.path().join("ca-key.pem");
    let mode = std::fs::metadata(&key)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = open(folder.path()).expect("the same");
    assert_eq!(again.fingerprint(), ca.fingerprint());
    // What a start has left that was interrupted between the two files.
    std::fs::remove_file(folder.path().join("ca.pem")).expect("a removal");
    open(folder.path()).expect("a CA of this key");
    let facts = der(&std::fs::read_to_string(folder.path().join("ca.pem")).expect("a file"));
    let (_, facts) = parse_x509_certificate(&facts).expect("a certificate");
    let years = (facts.validity().not_after.timestamp() - facts.validity().not_before.timestamp())
        / (365 * 24 * 3600);
    assert!(facts.is_ca() && years == 10, "{years}");
    // A certificate without its key is nothing that hearth leaves.
    std::fs::remove_file(&key).expect("a removal");
    let error = open(folder.path())
        .map(drop)
        .expect_err("no key")
        .to_string();
    assert!(error.contains("ca-key.pem"), "{error}");
    assert!(!key.exists());
}

#[test]
fn many_that_make_it_at_once_have_one_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = std::thread::scope(|scope| {
        let open = || open(folder.path()).expect("a CA").fingerprint();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let all = threads
            .into_iter()
            .map(|thread| thread.join().expect("a CA"));
        all.collect::<Vec<_>>()
    });
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
}

#[test]
fn of_a_request_only_the_public_key_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = open(folder.path()).expect("a CA");
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let issued = ca.issue(&node(), &request(&key)).expect("a certificate");
        let own = KeyedCertificate::from_pem(&issued.chain_pem, &key.serialize_pem());
        let holder = own.expect("they fit").holder().expect("a holder");
        assert_eq!(holder.identity, node());
        let left = holder
            .not_after
            .duration_since(SystemTime::now())
            .expect("time");
        assert!((3590..=3600).contains(&left.as_secs()), "{left:?}");
        let der = der(&issued.chain_pem);
        let (_, facts) = parse_x509_certificate(&der).expect("a certificate");
        assert!(!facts.is_ca());
        let names = facts
            .subject_alternative_name()
            .expect("one")
            .expect("names");
        assert_eq!(names.value.general_names.len(), 1);
        let usage = facts.extended_key_usage().expect("one").expect("a usage");
        assert!(usage.value.client_auth && !usage.value.server_auth);
        assert!(facts.validity().not_before.timestamp() + 200 < seconds_now());
    }
    let serials: std::collections::HashSet<_> = (0..10)
        .map(|_| {
            let key = KeyPair::generate().expect("a key");
            let issued = ca.issue(&node(), &request(&key)).expect("a certificate");
            let der = der(&issued.chain_pem);
            parse_x509_certificate(&der)
                .expect("a certificate")
                .1
                .raw_serial_as_string()
        })
        .collect();
    assert_eq!(serials.len(), 10);
}

fn seconds_now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970")
        .as_secs()
        .try_into()
        .expect("a time")
}

#[test]
fn a_request_that_its_key_has_not_signed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = open(folder.path()).expect("a CA");
    let good = request(&KeyPair::generate().expect("a key"));
    let fault = |csr: &[u8]| match ca.issue(&node(), csr) {
        Err(IdentityError::Request(fault)) => fault,
        other => panic!("{other:?}"),
    };
    for malformed in [
        &b""[..],
        b"x",
        &good[..good.len() - 1],
        &[&good[..], b"x"].concat(),
    ] {
        assert_eq!(fault(malformed), RequestFault::Malformed);
    }
    // Another name in it, which the signature does not cover.
    let at = good
        .windows(5)
        .position(|part| part == b"plane")
        .expect("the name");
    let mut forged = good.clone();
    forged[at] = b'P';
    assert_eq!(fault(&forged), RequestFault::NotSigned);
}

#[test]
fn what_does_not_fit_together_is_no_ca_and_what_was_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = open(folder.path()).expect("a CA");
    let (certificate, key) = (
        folder.path().join("ca.pem"),
        folder.path().join("ca-key.pem"),
    );
    let good = std::fs::read_to_string(&certificate).expect("a file");
    let other = KeyPair::generate().expect("a key");
    std::fs::write(&key, other.serialize_pem()).expect("a write");
    assert!(matches!(ca.read_again(), Err(CaError::OtherKey(_))));
    let leaf = CertificateParams::default()
        .self_signed(&other)
        .expect("a certificate");
    let mut ended = CertificateParams::default();
    ended.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ended.not_after = (SystemTime::now() - Duration::from_secs(1)).into();
    let ended = ended.self_signed(&other).expect("a certificate");
    for (text, wrong) in [
        (leaf.pem(), "not that of a CA"),
        (ended.pem(), "has expired"),
        (String::new(), "no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nx".to_owned(),
            "no certificate",
        ),
    ] {
        std::fs::write(&certificate, text).expect("a write");
        let error = ca.read_again().map(drop).expect_err(wrong).to_string();
        assert!(
            error.contains(wrong) || error.contains("certificates in PEM"),
            "{error}"
        );
    }
    let issued = ca.issue(&node(), &request(&KeyPair::generate().expect("a key")));
    assert!(
        issued
            .expect("a certificate")
            .chain_pem
            .ends_with(&good.replace('\r', ""))
    );
}

/// As cert-manager and others bring it: the CA is one that another CA has issued, with a key in an older format.
#[test]
fn an_intermediate_ca_of_the_operator_issues() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&root_key).expect("a certificate");
    let issuer = Issuer::new(params, root_key);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params
        .distinguished_name
        .push(DnType::CommonName, "Acme Städte CA 7");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("a key");
    let own = params.signed_by(&key, &issuer).expect("a certificate");
    let chain = own.pem() + &root.pem();
    std::fs::write(folder.path().join("ca.pem"), &chain).expect("a write");
    std::fs::write(folder.path().join("ca-key.pem"), key.serialize_pem()).expect("a write");
    let ca = open(folder.path()).expect("a CA");
    assert_eq!(ca.fingerprint(), sha256_hex(own.der()));
    let node_key = KeyPair::generate().expect("a key");
    let issued = ca
        .issue(&node(), &request(&node_key))
        .expect("a certificate");
    let leaf = der(&issued.chain_pem);
    let (_, leaf) = parse_x509_certificate(&leaf).expect("a certificate");
    let (_, own) = parse_x509_certificate(own.der()).expect("a certificate");
    assert_eq!(leaf.issuer(), own.subject());
    leaf.verify_signature(Some(own.public_key()))
        .expect("a signature");
}
