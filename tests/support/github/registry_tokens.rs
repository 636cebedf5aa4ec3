//! Tokens that a real `docker-registry` believes, because they are signed by the certificate that it was given.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use serde::Serialize;
use uuid::Uuid;

/// Name of the registry, in its configuration and in tokens.
pub const SERVICE: &str = "registry.hearth.test";
/// Issuer of the tokens.
pub const ISSUER: &str = "github.hearth.test";

/// What may be done to one thing in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// `repository`, or `registry` for the catalogue.
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub actions: Vec<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    sub: &'a str,
    aud: &'static str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: &'a [Access],
}

/// Signs tokens.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    certificate_file: PathBuf,
    admin_password: String,
}

impl Signer {
    /// A new key, with its certificate below `dir`.
    pub fn new(dir: &Path) -> Self {
        let pair = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([ISSUER.to_owned()])
            .and_then(|params| params.self_signed(&pair))
            .expect("a certificate");
        let certificate_file = dir.join("registry-tokens.crt");
        std::fs::write(&certificate_file, certificate.pem()).expect("a certificate file");
        let mut header = Header::new(Algorithm::ES256);
        header.x5c = Some(vec![STANDARD.encode(certificate.der())]);
        Self {
            key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("the same key"),
            header,
            certificate_file,
            admin_password: Uuid::new_v4().simple().to_string(),
        }
    }

    pub fn certificate_file(&self) -> &Path {
        &self.certificate_file
    }

    pub fn admin_password(&self) -> &str {
        &self.admin_password
    }

    /// A token for `user`, from `now` on.
    pub fn sign(&self, user: &str, access: &[Access], now: i64, seconds: i64) -> String {
        let claims = Claims {
            iss: ISSUER,
            sub: user,
            aud: SERVICE,
            exp: now + seconds,
            // The registry allows for no difference in clocks; it runs on this machine.
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().to_string(),
            access,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).expect("a token")
    }
}
