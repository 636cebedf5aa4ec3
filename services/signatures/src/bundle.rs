use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{PublicKey, Signature};

/// Media type of a bundle, and of the artifacts that hold one (sigstore, "Bundle Format" 0.3).
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What is in the envelopes: in-toto statements.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The bytes that are signed for a payload: its "pre-authentication encoding" (DSSE v1, "Protocol").
pub(crate) fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {PAYLOAD_TYPE} {} ",
        PAYLOAD_TYPE.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// A statement and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The statement as JSON.
    pub payload: Vec<u8>,
    /// The signature over it.
    pub signature: Signature,
}

/// The text is not a bundle with one statement that is signed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a sigstore bundle 0.3 of an in-toto statement with one signature by a key")]
pub struct BundleError;

impl Bundle {
    /// As JSON, made by the owner of `key`.
    pub fn to_json(&self, key: &PublicKey) -> Vec<u8> {
        let written = Written {
            media_type: BUNDLE_TYPE.to_owned(),
            verification_material: Material {
                public_key: Hint { hint: key.hint() },
            },
            dsse_envelope: Envelope {
                payload: STANDARD.encode(&self.payload),
                payload_type: PAYLOAD_TYPE.to_owned(),
                signatures: [Signed {
                    sig: STANDARD.encode(self.signature.as_der()),
                }],
            },
        };
        // Structs of texts always serialise.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads JSON. Whether the signature is right is another question.
    pub fn read(json: &[u8]) -> Result<Self, BundleError> {
        let written: Written = serde_json::from_slice(json).map_err(|_| BundleError)?;
        let Envelope {
            payload,
            payload_type,
            signatures: [signed],
        } = written.dsse_envelope;
        if written.media_type != BUNDLE_TYPE || payload_type != PAYLOAD_TYPE {
            return Err(BundleError);
        }
        let decoded = |text: String| STANDARD.decode(text).map_err(|_| BundleError);
        Ok(Self {
            payload: decoded(payload)?,
            signature: Signature::from_der(&decoded(signed.sig)?).map_err(|_| BundleError)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: [Signed; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    sig: String,
}
