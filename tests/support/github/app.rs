//! The App: its key, and the proof that a request comes from it.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;

/// GitHub accepts no JWT with a longer lifetime.
const LONGEST_SECONDS: i64 = 600;

/// An App that is registered here.
pub struct App {
    id: u64,
    key: DecodingKey,
    pkcs8_file: PathBuf,
    pkcs1_file: PathBuf,
    key_lines: Vec<String>,
}

/// Why a request does not come from the App, in GitHub's words.
pub struct NotTheApp {
    pub status: u16,
    pub message: &'static str,
}

impl App {
    /// An App whose key is written below `dir`.
    pub fn new(dir: &Path) -> Self {
        let (pkcs8, pkcs1, public) = key();
        let (pkcs8_file, pkcs1_file) = (dir.join("app.pem"), dir.join("app.pkcs1.pem"));
        write_secret(&pkcs8_file, pkcs8);
        write_secret(&pkcs1_file, pkcs1);
        let key_lines = pkcs8
            .lines()
            .chain(pkcs1.lines())
            // The last line may be a few letters that occur anywhere.
            .filter(|line| line.len() >= 32 && !line.starts_with('-'))
            .map(str::to_owned)
            .collect();
        Self {
            id: 4711,
            key: DecodingKey::from_rsa_pem(public.as_bytes()).expect("a public key"),
            pkcs8_file,
            pkcs1_file,
            key_lines,
        }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn pkcs8_file(&self) -> &Path {
        &self.pkcs8_file
    }

    pub fn pkcs1_file(&self) -> &Path {
        &self.pkcs1_file
    }

    /// Lines of the private key's files: a file that has one of them has leaked the key.
    pub fn key_lines(&self) -> &[String] {
        &self.key_lines
    }

    /// Checks a JWT as GitHub does, at `now`.
    pub fn check(&self, jwt: &str, now: i64) -> Result<(), NotTheApp> {
        let claims = self.verified_claims(jwt)?;
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        let Some(issued) = number("iat").filter(|issued| *issued <= now) else {
            return Err(refused(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            ));
        };
        let Some(expires) = number("exp").filter(|expires| *expires > now.max(issued)) else {
            return Err(refused(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            ));
        };
        if expires > now + LONGEST_SECONDS {
            return Err(refused(
                "'Expiration time' claim ('exp') is too far in the future",
            ));
        }
        let issuer = match claims.get("iss") {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        match issuer {
            Some(id) if id == self.id => Ok(()),
            Some(_) => Err(NotTheApp {
                status: 404,
                message: "Integration not found",
            }),
            None => Err(refused("'Issuer' claim ('iss') must be an Integer")),
        }
    }

    fn verified_claims(&self, jwt: &str) -> Result<Value, NotTheApp> {
        // Times are checked by the caller, against the stand-in's own clock.
        let mut signature_only = Validation::new(Algorithm::RS256);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        jsonwebtoken::decode(jwt, &self.key, &signature_only)
            .map(|token| token.claims)
            .map_err(|_| refused("A JSON web token could not be decoded"))
    }
}

fn refused(message: &'static str) -> NotTheApp {
    NotTheApp {
        status: 401,
        message,
    }
}

/// PKCS#8, PKCS#1 and the public half. One for each process: a new one takes a tenth of a second or more.
fn key() -> &'static (String, String, String) {
    static KEY: OnceLock<(String, String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let pkcs8 = pair.serialize_pem();
        // PKCS#8 is an envelope around PKCS#1, and the library takes it off.
        let inner = EncodingKey::from_rsa_pem(pkcs8.as_bytes()).expect("the same key");
        let pkcs1 = pem("RSA PRIVATE KEY", inner.inner());
        (pkcs8, pkcs1, pair.public_key_pem())
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).expect("ASCII"))
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn write_secret(path: &Path, text: &str) {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("a key file");
}
