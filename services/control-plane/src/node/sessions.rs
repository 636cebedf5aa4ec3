use std::{collections::HashMap, sync::Arc};

use hearth_domain::sha256_hex;
use http::{HeaderMap, header::AUTHORIZATION};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::{
    error::CallError,
    store::{Store, StoreError},
};

const TOKEN_BYTES: usize = 32;
const SCHEME: &str = "bearer ";

/// Session tokens of agents: one for each registration, of which only the digest is kept. It is stored, so that tokens
/// stay valid over a restart of the control plane.
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    /// SHA-256 of each node's newest token, in hex.
    digests: Mutex<HashMap<String, String>>,
    /// Serializes registrations, so that the store and the memory have the same newest token.
    opening: tokio::sync::Mutex<()>,
}

impl Sessions {
    /// Loads the stored sessions.
    pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let digests = store.sessions().await?.into_iter().collect();
        Ok(Self {
            store,
            digests: Mutex::new(digests),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// A new token for a node; the previous one becomes invalid.
    pub(crate) async fn open(&self, node: &str) -> Result<SecretString, CallError> {
        let token = new_token()?;
        let digest = sha256_hex(token.expose_secret());
        let _one = self.opening.lock().await;
        self.store.put_session(node, &digest).await?;
        self.digests.lock().insert(node.to_owned(), digest);
        Ok(token)
    }

    /// Forgets the token of a node that was removed from the store.
    pub(crate) fn close(&self, node: &str) {
        self.digests.lock().remove(node);
    }

    /// The node whose agent calls, as its headers prove (`authorization: Bearer <token>`).
    pub(crate) fn node(&self, headers: &HeaderMap) -> Option<String> {
        let presented = sha256_hex(bearer(headers)?);
        let digests = self.digests.lock();
        let is_it = |known: &str| bool::from(presented.as_bytes().ct_eq(known.as_bytes()));
        let found = digests.iter().find(|(_, known)| is_it(known));
        found.map(|(node, _)| node.clone())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let scheme = value.get(..SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| value[SCHEME.len()..].trim())
}

/// A new secret: 256 random bits of the system, in hex.
pub(crate) fn new_token() -> Result<SecretString, CallError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| CallError::NoRandomness(error.to_string()))?;
    Ok(SecretString::from(hex::encode(bytes)))
}
