//! CAs that operators bring, as their tools write them.

use std::{path::Path, process::Command};

use hearth_runtime::tls::private_key;
use rcgen::{BasicConstraints, IsCa};

use super::*;

/// What `openssl` prints.
fn openssl(folder: &Path, arguments: &str) -> String {
    let ran = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "openssl {arguments}: {said}");
    String::from_utf8(ran.stdout).expect("text")
}

fn open(folder: &Path) -> Result<Ca, CaError> {
    let files = CaFiles {
        certificate: folder.join("ca.pem"),
        key: folder.join("ca-key.pem"),
    };
    Ca::open(files, Duration::from_secs(3600))
}

fn refusal(folder: &Path) -> String {
    open(folder).map(drop).expect_err("no CA").to_string()
}

fn request(key: &KeyPair) -> Vec<u8> {
    let request = CertificateParams::default().serialize_request(key);
    request.expect("a request").der().to_vec()
}

/// A certificate of the CA for this key in the folder.
fn certify(folder: &Path, more: &str) {
    let certificate = format!(
        "req -x509 -new -key ca-key.pem -days 30 -subj /CN=Acme -addext keyUsage=critical,keyCertSign,cRLSign {more} -out ca.pem"
    );
    openssl(folder, &certificate);
}

#[test]
fn every_kind_of_key_that_openssl_and_cert_manager_write_issues() {
    for make in [
        // With a section of parameters in front of the key.
        "ecparam -name prime256v1 -genkey -out ca-key.pem",
        "ecparam -name secp384r1 -genkey -noout -out ca-key.pem",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca-key.pem",
        "genrsa -traditional -out ca-key.pem 2048",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out ca-key.pem",
        "genpkey -algorithm ED25519 -out ca-key.pem",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        openssl(folder.path(), make);
        certify(folder.path(), "");
        let ca = open(folder.path()).unwrap_or_else(|error| panic!("{make}: {error}"));
        let key = KeyPair::generate().expect("a key");
        let node: Identity = "spiffe://hearth/node/n1".parse().expect("an identity");
        let issued = ca.issue(&node, &request(&key)).expect("a certificate");
        std::fs::write(folder.path().join("node.pem"), issued.chain_pem).expect("a write");
        // Another implementation agrees.
        let verified = openssl(
            folder.path(),
            "verify -CAfile ca.pem -purpose sslclient node.pem",
        );
        assert_eq!(verified.trim(), "node.pem: OK", "{make}");
        issue_port(&ca.authority(), &["localhost".parse().expect("a name")]).expect("a port");
    }
}

#[test]
fn what_is_wrong_with_a_ca_is_said_with_the_file_that_it_is_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for make in [
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret -out ca-key.pem",
        "genrsa -traditional -aes256 -passout pass:secret -out ca-key.pem 2048",
    ] {
        openssl(folder, make);
        certify(folder, "-passin pass:secret");
        let why = refusal(folder);
        assert!(
            why.contains("ca-key.pem") && why.contains("is encrypted"),
            "{why}"
        );
    }
    let new = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca-key.pem";
    openssl(folder, new);
    // Without basicConstraints, as older tools write them, and for something else.
    let key = std::fs::read_to_string(folder.join("ca-key.pem")).expect("a key");
    let key = private_key(&key).expect("a key");
    let key = KeyPair::try_from(&key).expect("a key");
    let mut params = CertificateParams::default();
    let without = params.self_signed(&key).expect("a certificate").pem();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let may_not_sign = params.self_signed(&key).expect("a certificate").pem();
    for (certificate, why) in [
        (without, "not that of a CA"),
        (may_not_sign, "may not sign others"),
        (String::new(), "has no certificate"),
    ] {
        std::fs::write(folder.join("ca.pem"), certificate).expect("a write");
        let said = refusal(folder);
        assert!(said.contains("ca.pem") && said.contains(why), "{said}");
    }
    certify(folder, "");
    open(folder).expect("a CA");
    openssl(folder, new);
    let said = refusal(folder);
    assert!(said.contains("is not the key of the first"), "{said}");
    std::fs::write(folder.join("ca-key.pem"), "nothing").expect("a write");
    let said = refusal(folder);
    assert!(said.contains("has no private key in PEM"), "{said}");
}

#[test]
fn a_ca_that_has_expired_issues_nothing_more_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = open(folder.path()).expect("a CA");
    let authority = ca.read_again().expect("itself");
    ca.take(Authority {
        not_after: SystemTime::now() - Duration::from_secs(1),
        ..authority
    });
    let node: Identity = "spiffe://hearth/node/n1".parse().expect("an identity");
    let key = KeyPair::generate().expect("a key");
    let refused = ca.issue(&node, &request(&key)).expect_err("it has expired");
    assert!(refused.to_string().contains("has expired"), "{refused}");
}
