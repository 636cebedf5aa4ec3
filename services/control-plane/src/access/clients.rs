use std::sync::Arc;

use hearth_domain::Name;
use parking_lot::RwLock;

use super::client::Client;
use crate::{
    clock::{from_millis, now},
    error::CallError,
    store::{Store, StoreError, StoredClient},
};

/// A last use is noted once in this time.
const NOTED_EVERY_MS: i64 = 60_000;

/// All clients: in the store, and in memory, so that a call costs no look into the store.
pub(super) struct Clients {
    store: Arc<dyn Store>,
    /// Oldest first.
    all: RwLock<Vec<Arc<Client>>>,
    /// Serializes changes, so that the store and the memory agree.
    changing: tokio::sync::Mutex<()>,
}

impl Clients {
    pub(super) async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let stored = store.clients().await?.into_iter();
        let all = stored.map(|(number, client)| Arc::new(Client::stored(number, client)));
        Ok(Self {
            all: RwLock::new(all.collect()),
            store,
            changing: tokio::sync::Mutex::default(),
        })
    }

    pub(super) async fn add(&self, stored: StoredClient) -> Result<Arc<Client>, CallError> {
        let _one = self.changing.lock().await;
        let number = self.store.add_client(&stored).await?;
        let number = number.ok_or_else(|| CallError::ClientNameInUse(stored.name.clone()))?;
        let client = Arc::new(Client::stored(number, stored));
        self.all.write().push(client.clone());
        Ok(client)
    }

    /// Revokes a client and ends its streams; also one that cannot be read.
    pub(super) async fn revoke(&self, name: &Name) -> Result<(), CallError> {
        let _one = self.changing.lock().await;
        let revoked = self.store.revoke_client(name, now()).await?;
        self.all.write().retain(|client| {
            let is_it = client.name() == Some(name);
            if is_it {
                client.ended().cancel();
            }
            !is_it
        });
        match revoked {
            true => Ok(()),
            false => Err(CallError::ClientUnknown(name.clone())),
        }
    }

    /// Newest first.
    pub(super) fn list(&self) -> Vec<Arc<Client>> {
        self.all.read().iter().rev().cloned().collect()
    }

    /// Whose token has this digest.
    pub(super) fn of_digest(&self, digest: &str) -> Option<Arc<Client>> {
        let all = self.all.read();
        all.iter().find(|client| client.is_of(digest)).cloned()
    }

    pub(super) fn of_name(&self, name: &Name) -> Option<Arc<Client>> {
        let all = self.all.read();
        all.iter()
            .find(|client| client.name() == Some(name))
            .cloned()
    }

    pub(super) fn are_none(&self) -> bool {
        self.all.read().is_empty()
    }

    /// Ends the streams of those that have expired, and notes when clients called last. What cannot be noted is tried again.
    pub(super) async fn keep(&self) {
        let now = now();
        for client in self.list() {
            if client.has_expired(&now) && !client.ended().is_cancelled() {
                tracing::info!(client.name = %client, "a client has expired");
                client.ended().cancel();
            }
            if let Some(used) = client.to_be_noted(NOTED_EVERY_MS)
                && let Some(name) = client.name()
            {
                match self.store.client_used(name, from_millis(used)).await {
                    Ok(()) => client.noted(used),
                    Err(error) => {
                        tracing::warn!(client.name = %client, %error, "the last use of a client is not noted");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;

    #[tokio::test]
    async fn a_last_use_is_noted_at_once_and_then_once_a_minute() {
        let directory = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn Store> = Arc::new(Sqlite::of_test(directory.path()).await);
        let clients = Clients::load(store.clone()).await.expect("clients");
        let added = clients.add(StoredClient {
            name: "ci".parse().expect("a name"),
            scopes: hearth_domain::Scope::Read.into(),
            repositories: hearth_domain::RepositoryPatterns::default(),
            digest: "digest".into(),
            created: from_millis(1),
            expires: None,
            last_used: None,
        });
        let client = added.await.expect("a client");
        for (called, noted) in [
            (None, None),
            (Some(1_000_000), Some(1_000_000)),
            (Some(1_059_000), Some(1_000_000)),
            (Some(1_060_000), Some(1_060_000)),
            // A clock that jumps back says nothing new.
            (Some(500_000), Some(1_060_000)),
        ] {
            if let Some(called) = called {
                client.calls(&from_millis(called));
            }
            clients.keep().await;
            let stored = store.clients().await.expect("a read");
            assert_eq!(stored[0].1.last_used, noted.map(from_millis), "{called:?}");
        }
    }
}
