//! Control planes at `https://` addresses.

use hearth_api::v1::ListWorkspacesResponse;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::Identity;

use crate::support::{Answer, ControlPlane, hearth, run};

/// A CA, and what it says of a server of these names.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    fn file(&self, folder: &tempfile::TempDir) -> String {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, self.0.pem()).expect("a file");
        path.to_str().expect("text").to_owned()
    }

    fn server(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }
}

async fn plane(answers: usize, identity: Identity) -> ControlPlane {
    let answers = vec![Answer::List(ListWorkspacesResponse::default()); answers];
    ControlPlane::start_with(answers, Some(identity)).await
}

#[tokio::test]
async fn a_control_plane_with_a_certificate_of_the_named_ca_is_called_and_no_other() {
    let (ca, folder) = (Ca::new(), tempfile::tempdir().expect("a folder"));
    let (file, token) = (ca.file(&folder), folder.path().join("token"));
    std::fs::write(&token, "of-the-user").expect("a file");
    let token = token.to_str().expect("text");
    let good = plane(2, ca.server("127.0.0.1")).await;
    let url = format!("https://127.0.0.1:{}", good.port());
    let ls = run(hearth(&url, &["ls", "--ca", &file, "--token-file", token])).await;
    assert_eq!(ls.code, Some(0), "{ls:?}");
    let mut by_variable = hearth(&url, &["ls", "--token-file", token]);
    by_variable.env("HEARTH_CA", &file);
    assert_eq!(run(by_variable).await.code, Some(0));
    assert_eq!(good.proofs(), ["Bearer of-the-user"; 2]);

    let elsewhere = plane(0, ca.server("plane.example")).await;
    let stranger = plane(0, Ca::new().server("127.0.0.1")).await;
    for (plane, told) in [
        (
            &elsewhere,
            "is not valid: invalid peer certificate: certificate not valid for name \"127.0.0.1\"",
        ),
        (
            &stranger,
            "is of a CA that is not known\n  name the certificate of the control plane's CA with --ca",
        ),
    ] {
        let url = format!("https://127.0.0.1:{}", plane.port());
        let ls = run(hearth(&url, &["ls", "--ca", &file, "--token-file", token])).await;
        assert_eq!(ls.code, Some(69), "{ls:?}");
        assert!(ls.stderr.contains(told), "{ls:?}");
        assert_eq!(
            plane.proofs(),
            Vec::<String>::new(),
            "the token was shown to a stranger"
        );
    }
}

#[tokio::test]
async fn the_wrong_scheme_and_a_wrong_file_are_told_as_such() {
    let (ca, folder) = (Ca::new(), tempfile::tempdir().expect("a folder"));
    let file = ca.file(&folder);
    let tls = plane(0, ca.server("127.0.0.1")).await;
    let ls = run(hearth(&format!("http://127.0.0.1:{}", tls.port()), &["ls"])).await;
    assert_eq!(ls.code, Some(69), "{ls:?}");
    assert!(
        ls.stderr.contains("does not speak gRPC without TLS"),
        "{ls:?}"
    );
    let plain = ControlPlane::start([]).await;
    let url = format!("https://127.0.0.1:{}", plain.port());
    let ls = run(hearth(&url, &["ls", "--ca", &file])).await;
    assert_eq!(ls.code, Some(69), "{ls:?}");
    assert!(ls.stderr.contains("does not speak TLS"), "{ls:?}");

    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    for (ca, told) in [
        (empty.to_str().expect("text"), "has no certificate in it"),
        ("/nowhere/ca.pem", "cannot be read"),
    ] {
        let ls = run(hearth(&url, &["ls", "--ca", ca])).await;
        assert_eq!(ls.code, Some(64), "{ls:?}");
        assert!(
            ls.stderr.starts_with("hearth: --ca: ") && ls.stderr.contains(told),
            "{ls:?}"
        );
    }
}
