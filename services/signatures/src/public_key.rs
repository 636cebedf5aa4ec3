use std::{fmt, str::FromStr};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pem::{EncodeConfig, LineEnding, Pem};
use sha2::{Digest as _, Sha256};

use crate::Signature;

const TAG: &str = "PUBLIC KEY";
/// Keys that one text may have: those of a rotation, and some.
const MAX_KEYS: usize = 16;

/// A key that signatures are verified with: P-256. As text it is PEM, as `openssl` and `cosign` read it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo (RFC 5480).
    der: Vec<u8>,
}

/// The text has no public keys of P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be public keys of P-256 in PEM, 1 to {MAX_KEYS} of them and nothing else, as `hearth cache public-key` prints one"
)]
pub struct PublicKeyError;

impl PublicKey {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).map_err(|_| PublicKeyError)?;
        let der: PublicKeyX509Der = key.as_der().map_err(|_| PublicKeyError)?;
        Ok(Self {
            der: der.as_ref().to_vec(),
        })
    }

    /// What a sigstore bundle names the key by.
    pub(crate) fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.der))
    }

    /// SHA-256 of the key in hex: short enough to be compared by people.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }

    /// Whether the owner of this key has signed `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.der)
            .verify(message, signature.as_der())
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pem = Pem::new(TAG, self.der.as_slice());
        f.write_str(&pem::encode_config(
            &pem,
            EncodeConfig::new().set_line_ending(LineEnding::LF),
        ))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// Keys of which any may have signed: more than one while keys are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// Whether the owner of one of them has signed `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.iter().any(|key| key.verify(message, signature))
    }

    /// Whether the first of `other`, which signs, is among them.
    pub fn contain_first_of(&self, other: &Self) -> bool {
        other.0.first().is_some_and(|key| self.0.contains(key))
    }

    /// The SHA-256 of each, in hex: the first is that of the key which signs now.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(PublicKey::fingerprint)
    }

    /// These, and then those of `others` that are not among them.
    pub fn and(mut self, others: Self) -> Result<Self, PublicKeyError> {
        for key in others.0 {
            if !self.0.contains(&key) {
                self.0.push(key);
            }
        }
        if self.0.len() > MAX_KEYS {
            return Err(PublicKeyError);
        }
        Ok(self)
    }
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| key.fmt(f))
    }
}

impl From<PublicKey> for PublicKeys {
    fn from(key: PublicKey) -> Self {
        Self(vec![key])
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut keys: PublicKeys = text.parse()?;
        match (keys.0.pop(), keys.0.is_empty()) {
            (Some(key), true) => Ok(key),
            _ => Err(PublicKeyError),
        }
    }
}

impl FromStr for PublicKeys {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let blocks = pem::parse_many(text).map_err(|_| PublicKeyError)?;
        if !(1..=MAX_KEYS).contains(&blocks.len()) {
            return Err(PublicKeyError);
        }
        let key = |block: &Pem| match block.tag() {
            TAG => PublicKey::from_der(block.contents()),
            _ => Err(PublicKeyError),
        };
        blocks.iter().map(key).collect::<Result<_, _>>().map(Self)
    }
}
