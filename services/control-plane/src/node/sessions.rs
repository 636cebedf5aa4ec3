use std::{collections::HashMap, sync::Arc};

use hearth_domain::sha256_hex;
use hearth_runtime::bearer;
use http::HeaderMap;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    error::CallError,
    store::{Store, StoreError},
};

const TOKEN_BYTES: usize = 32;

/// Session tokens of agents: one for each registration, of which only the digest is kept. It is stored, so that tokens
/// stay valid over a restart of the control plane.
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// Serializes registrations, so that the store and the memory have the same newest token.
    opening: tokio::sync::Mutex<()>,
}

/// Nodes and the SHA-256 of each one's newest token, in hex, both ways.
#[derive(Default)]
struct Known {
    nodes: HashMap<String, String>,
    digests: HashMap<String, String>,
}

impl Known {
    fn put(&mut self, node: String, digest: String) {
        self.remove(&node);
        self.nodes.insert(digest.clone(), node.clone());
        self.digests.insert(node, digest);
    }

    fn remove(&mut self, node: &str) {
        if let Some(digest) = self.digests.remove(node) {
            self.nodes.remove(&digest);
        }
    }
}

impl Sessions {
    /// Loads the stored sessions.
    pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut known = Known::default();
        for (node, digest) in store.sessions().await? {
            known.put(node, digest);
        }
        Ok(Self {
            store,
            known: Mutex::new(known),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// A new token for a node; the previous one becomes invalid.
    pub(crate) async fn open(&self, node: &str) -> Result<SecretString, CallError> {
        let token = new_token()?;
        let digest = sha256_hex(token.expose_secret());
        let _one = self.opening.lock().await;
        self.store.put_session(node, &digest).await?;
        self.known.lock().put(node.to_owned(), digest);
        Ok(token)
    }

    /// Forgets the token of a node that was removed from the store.
    pub(crate) fn close(&self, node: &str) {
        self.known.lock().remove(node);
    }

    /// The node whose agent calls, as its headers prove (`authorization: Bearer <token>`).
    pub(crate) fn node(&self, headers: &HeaderMap) -> Option<String> {
        // By its digest: the time that it takes tells nothing of a token.
        let presented = sha256_hex(bearer(headers).ok()??);
        self.known.lock().nodes.get(&presented).cloned()
    }
}

/// A new secret: 256 random bits of the system, in hex.
pub(crate) fn new_token() -> Result<SecretString, CallError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| CallError::NoRandomness(error.to_string()))?;
    Ok(SecretString::from(hex::encode(bytes)))
}
