//! What the control plane signs of an image in the cache, and how that is verified.
//!
//! A [`Claim`] says for which repository, key and platform an image is. It is one in-toto statement; a second, smaller one
//! is what `cosign verify` looks for. Each is signed as a DSSE envelope and kept in a sigstore bundle, so that stock cosign
//! verifies both without a network (docs/signatures.md). There is no I/O here.

mod bundle;
mod claim;
mod key;
mod public_key;
mod signature;

pub use bundle::{BUNDLE_TYPE, Bundle, BundleError};
pub use claim::{CLAIM_TYPE, COSIGN_TYPE, Claim, ClaimError, Statement};
pub use key::{LocalKey, PrivateKeyError, SignError, Signer};
pub use public_key::{PublicKey, PublicKeyError, PublicKeys};
pub use signature::{Signature, SignatureError};
