use std::borrow::Cow;

use hearth_domain::{CacheKey, CacheRepository, Digest, KeyManifest, KeyedManifest, Platform};
use serde::{Deserialize, Serialize};

use crate::{Bundle, PublicKeys, SignError, Signature, Signer, bundle::signed_bytes};

/// Predicate type of what `cosign verify` looks for.
pub const COSIGN_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Predicate type of a claim, for `cosign verify-attestation --type`.
pub const CLAIM_TYPE: &str = "https://hearth.dev/cache-entry/v1";
/// in-toto attestation framework, "Statement" v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What the control plane says of an image in the cache. From the same claim the same bytes are made everywhere, so that a
/// signature alone is enough for whoever knows the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The image.
    pub digest: Digest,
    /// Where it is.
    pub repository: CacheRepository,
    /// The key that it was built for.
    pub key: CacheKey,
    /// What it runs on.
    pub platform: Platform,
    /// The inputs behind the key. `None` where they are not known.
    pub manifest: Option<KeyedManifest>,
    /// Name of the configuration; empty for the default one.
    pub config: String,
    /// URL of the git repository that it was built from.
    pub source: String,
    /// The ref that it was built from.
    pub git_ref: String,
    /// The commit that it was built from.
    pub commit: String,
}

/// The bytes are not a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a statement of hearth about an image in its one form")]
pub struct ClaimError;

/// An in-toto statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    predicate_type: &'static str,
    payload: Vec<u8>,
}

impl Statement {
    /// What `cosign verify` looks for: that this image is signed, and nothing of it.
    pub fn for_cosign(image: &Digest) -> Self {
        Self::about(image, COSIGN_TYPE, serde_json::Map::new())
    }

    fn about(image: &Digest, predicate_type: &'static str, predicate: impl Serialize) -> Self {
        let written = Written {
            kind: STATEMENT_TYPE.into(),
            subject: [Subject {
                digest: Sha256 {
                    sha256: image.as_str().trim_start_matches("sha256:").into(),
                },
            }],
            predicate_type: predicate_type.into(),
            predicate,
        };
        Self {
            predicate_type,
            // Structs of texts always serialise.
            payload: serde_json::to_vec(&written).unwrap_or_default(),
        }
    }

    /// Its predicate type.
    pub fn predicate_type(&self) -> &'static str {
        self.predicate_type
    }

    /// Signs it.
    pub async fn sign(&self, signer: &dyn Signer) -> Result<Signature, SignError> {
        signer.sign(&signed_bytes(&self.payload)).await
    }

    /// Whether the owner of one of the keys has signed it.
    pub fn verify(&self, keys: &PublicKeys, signature: &Signature) -> bool {
        keys.verify(&signed_bytes(&self.payload), signature)
    }

    /// With its signature.
    pub fn bundle(self, signature: Signature) -> Bundle {
        Bundle {
            payload: self.payload,
            signature,
        }
    }

    /// Whether a bundle has exactly this statement, signed by the owner of one of the keys.
    pub fn is_in(&self, bundle: &Bundle, keys: &PublicKeys) -> bool {
        bundle.payload == self.payload && self.verify(keys, &bundle.signature)
    }
}

impl Claim {
    /// As a statement.
    pub fn statement(&self) -> Statement {
        let manifest = self.manifest.as_ref();
        let predicate = Predicate {
            repository: self.repository.as_str().into(),
            key: self.key.as_str().into(),
            platform: self.platform.as_str().into(),
            config: self.config.as_str().into(),
            source: self.source.as_str().into(),
            git_ref: self.git_ref.as_str().into(),
            commit: self.commit.as_str().into(),
            key_manifest: manifest.map(|manifest| Cow::Borrowed(manifest.inputs())),
        };
        Statement::about(&self.digest, CLAIM_TYPE, predicate)
    }

    /// Reads the claim of a bundle, which has to be signed by the owner of one of the keys.
    pub fn read(bundle: &Bundle, keys: &PublicKeys) -> Result<Self, ClaimError> {
        let written: Written<'_, Predicate<'_>> =
            serde_json::from_slice(&bundle.payload).map_err(|_| ClaimError)?;
        let Written {
            subject: [subject],
            predicate,
            ..
        } = written;
        let digest = format!("sha256:{}", subject.digest.sha256);
        let manifest = predicate.key_manifest.map(Cow::into_owned);
        let claim = Self {
            digest: digest.parse().map_err(|_| ClaimError)?,
            repository: predicate.repository.parse().map_err(|_| ClaimError)?,
            key: predicate.key.parse().map_err(|_| ClaimError)?,
            platform: predicate.platform.parse().map_err(|_| ClaimError)?,
            manifest: manifest.map(KeyedManifest::from),
            config: predicate.config.into_owned(),
            source: predicate.source.into_owned(),
            git_ref: predicate.git_ref.into_owned(),
            commit: predicate.commit.into_owned(),
        };
        let manifest = claim.manifest.as_ref();
        let is_for_key = manifest.is_none_or(|manifest| *manifest.key() == claim.key);
        // What is written twice, in another order or besides would be read differently elsewhere.
        match is_for_key && claim.statement().is_in(bundle, keys) {
            true => Ok(claim),
            false => Err(ClaimError),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a, P> {
    #[serde(rename = "_type")]
    kind: Cow<'a, str>,
    subject: [Subject<'a>; 1],
    predicate_type: Cow<'a, str>,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
struct Subject<'a> {
    digest: Sha256<'a>,
}

#[derive(Serialize, Deserialize)]
struct Sha256<'a> {
    sha256: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    repository: Cow<'a, str>,
    key: Cow<'a, str>,
    platform: Cow<'a, str>,
    config: Cow<'a, str>,
    source: Cow<'a, str>,
    #[serde(rename = "ref")]
    git_ref: Cow<'a, str>,
    commit: Cow<'a, str>,
    key_manifest: Option<Cow<'a, KeyManifest>>,
}
