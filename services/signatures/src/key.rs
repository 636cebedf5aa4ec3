use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{PublicKey, Signature};

const TAG: &str = "PRIVATE KEY";
/// Every second signature is one with a large s: that none of so many is good will not happen.
const TRIES: u32 = 200;

/// Whoever has the private key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The key that its signatures are verified with.
    fn public_key(&self) -> &PublicKey;

    /// Signs a message: ECDSA of P-256 over its SHA-256.
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;
}

/// Nothing was signed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key does not sign: {0}")]
pub struct SignError(pub String);

/// A private key in this process's memory.
pub struct LocalKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// The text is not a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a private key of P-256 in PEM (PKCS #8, not encrypted, unlike those of `cosign generate-key-pair`), as \
     `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes it"
)]
pub struct PrivateKeyError;

impl LocalKey {
    /// Makes a key, and returns it as PEM.
    pub fn generate() -> Result<SecretString, SignError> {
        let failed = |_| SignError("no key can be made on this machine".to_owned());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
        let document = pair.to_pkcs8v1().map_err(failed)?;
        let pem = Pem::new(TAG, document.as_ref());
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        Ok(pem::encode_config(&pem, config).into())
    }

    /// Reads a key from PEM.
    pub fn from_pem(text: &SecretString) -> Result<Self, PrivateKeyError> {
        let pem = pem::parse(text.expose_secret()).map_err(|_| PrivateKeyError)?;
        if pem.tag() != TAG {
            return Err(PrivateKeyError);
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pem.contents())
            .map_err(|_| PrivateKeyError)?;
        let public =
            PublicKey::from_der(pair.public_key().as_ref()).map_err(|_| PrivateKeyError)?;
        Ok(Self { pair, public })
    }
}

#[async_trait]
impl Signer for LocalKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let random = SystemRandom::new();
        for _ in 0..TRIES {
            let signed = self.pair.sign(&random, message);
            let signed = signed.map_err(|_| SignError("it has no random numbers".to_owned()))?;
            if let Ok(signature) = Signature::from_der(signed.as_ref()) {
                return Ok(signature);
            }
        }
        Err(SignError("it makes no canonical signature".to_owned()))
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING;

    use super::*;

    #[test]
    fn a_key_is_read_with_any_ends_of_lines_and_none_but_plain_ones_of_p256() {
        let good = LocalKey::generate().unwrap();
        let text = good.expose_secret();
        let public = LocalKey::from_pem(&good).unwrap().public_key().clone();
        let windows: SecretString = text.replace('\n', "\r\n").into();
        assert_eq!(*LocalKey::from_pem(&windows).unwrap().public_key(), public);
        let pem = public.to_string();
        assert_eq!(pem.replace('\n', "\r\n").parse(), Ok(public));

        let other = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let other = other.to_pkcs8v1().unwrap();
        for bad in [
            pem::encode(&Pem::new(TAG, other.as_ref())),
            // What `cosign generate-key-pair` writes.
            text.replace(TAG, "ENCRYPTED SIGSTORE PRIVATE KEY"),
            text.replace(TAG, "ENCRYPTED PRIVATE KEY"),
            pem,
        ] {
            assert_eq!(LocalKey::from_pem(&bad.into()).err(), Some(PrivateKeyError));
        }
        assert!(text.parse::<PublicKey>().is_err());
    }
}
