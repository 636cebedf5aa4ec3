use std::sync::LazyLock;

use hearth_agent::fuzzing::join_token;
use hearth_control_plane::fuzzing::Issuer;
use hearth_domain::{Digest, Identity};
use hearth_runtime::tls::{Authorities, KeyedCertificate, read_certificate};
use tempfile::TempDir;

static CA: LazyLock<(TempDir, Issuer)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let issuer = Issuer::open(folder.path()).expect("a CA");
    (folder, issuer)
});

/// Reads the input as what a node joins with: a certification request, which strangers send, the text of a join token, and
/// certificates.
///
/// Whatever a request says, its certificate names the node that it was issued for and nobody else. A token is written as it is
/// read, and tells a CA apart.
pub fn joining(data: &[u8]) {
    let node: Identity = "spiffe://hearth/node/n1".parse().expect("an identity");
    if let Some(chain) = CA.1.issue(&node, data) {
        let authorities = Authorities::from_pem(&chain).expect("certificates");
        let read = read_certificate(authorities.first()).expect("it is hearth's");
        assert_eq!(read.identity, node);
        assert_eq!(authorities.fingerprints().len(), 2, "it and that of the CA");
    }
    if let Some(peer) = read_certificate(data) {
        let written = peer.identity.to_string();
        assert_eq!(written.parse(), Ok(peer.identity));
    }
    let text = String::from_utf8_lossy(data);
    if let Some((secret, ca)) = join_token(&text) {
        assert_eq!(text.trim(), format!("{secret}@{ca}"));
        assert!(!secret.is_empty() && !secret.contains(char::is_whitespace));
        assert!(format!("sha256:{ca}").parse::<Digest>().is_ok());
    }
    let _ = Authorities::from_pem(&text);
    let _ = KeyedCertificate::from_pem(&text, &text);
}
