use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use hearth_domain::{Identity, Name, sha256_hex};
use hearth_runtime::{Peer, PeerCertificate, Rarely};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    admin_token::AdminToken,
    client::{ADMIN, Caller, Client},
    clients::Clients,
    token::{bearer, new_token},
};
use crate::{
    clock::now,
    error::CallError,
    metrics::Counters,
    store::{Store, StoredClient},
};

/// How often it is looked for clients that have expired, and at the file of the admin token.
const PERIOD: Duration = Duration::from_secs(2);

/// Who is let in.
pub(crate) struct Access {
    /// Whether callers are asked for a proof.
    is_checked: bool,
    clients: Clients,
    admin: Option<AdminToken>,
    pub(super) counters: Arc<Counters>,
    pub(super) refusals: Rarely,
}

impl Access {
    /// Loads the clients. `admin_token_file` has the token of one more, which may do everything.
    pub(crate) async fn load(
        is_checked: bool,
        admin_token_file: Option<PathBuf>,
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let clients = Clients::load(store).await?;
        let admin = match admin_token_file {
            Some(path) => {
                let loaded = AdminToken::load(path).await;
                Some(loaded.context("--admin-token-file (HEARTH_ADMIN_TOKEN_FILE)")?)
            }
            None => None,
        };
        if is_checked && admin.is_none() && clients.are_none() {
            tracing::warn!(
                "no client can call: there is none, and none can be made without --admin-token-file (HEARTH_ADMIN_TOKEN_FILE)"
            );
        }
        Ok(Self {
            is_checked,
            clients,
            admin,
            counters,
            refusals: Rarely::default(),
        })
    }

    /// Makes a client of this description, and its token.
    pub(crate) async fn create(
        &self,
        describe: impl FnOnce(String) -> StoredClient,
    ) -> Result<(Arc<Client>, SecretString), CallError> {
        let token = new_token()?;
        let stored = describe(sha256_hex(token.expose_secret()));
        if stored.name.as_str() == ADMIN {
            return Err(CallError::ClientNameInUse(stored.name));
        }
        let client = self.clients.add(stored).await?;
        Ok((client, token))
    }

    /// Revokes a client: its token, its certificates and its open streams.
    pub(crate) async fn revoke(&self, name: &Name) -> Result<(), CallError> {
        self.clients.revoke(name).await
    }

    /// All clients, newest first.
    pub(crate) fn list(&self) -> Vec<Arc<Client>> {
        self.clients.list()
    }

    /// Who calls, as the call's headers or the connection's certificate prove.
    pub(super) fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller, CallError> {
        if !self.is_checked {
            return Ok(Caller::Anybody);
        }
        let client = match (bearer(headers)?, &peer.certificate) {
            (Some(token), _) => self.of_token(token)?,
            (None, Some(certificate)) => self.of_certificate(certificate)?,
            (None, None) => {
                return Err(CallError::CallerUnknown(
                    "this control plane asks who calls: send `authorization: Bearer TOKEN`".into(),
                ));
            }
        };
        let now = now();
        if client.has_expired(&now) {
            return Err(CallError::CallerUnknown(format!(
                "client {client} has expired; ask an admin for another one (`hearth client create`)"
            )));
        }
        client.calls(&now);
        Ok(Caller::Client(client))
    }

    /// The client whose token a call carries, whether it may make the call or not.
    pub(crate) fn named(&self, headers: &HeaderMap) -> Option<Name> {
        let token = bearer(headers).ok().flatten()?;
        self.of_token(token).ok()?.to_string().parse().ok()
    }

    fn of_token(&self, token: &str) -> Result<Arc<Client>, CallError> {
        let digest = sha256_hex(token);
        let admin = self.admin.as_ref();
        let found = admin
            .and_then(|admin| admin.of_digest(&digest))
            .or_else(|| self.clients.of_digest(&digest));
        found.ok_or_else(|| {
            CallError::CallerUnknown(
                "the token is none of this control plane's, or its client was revoked".into(),
            )
        })
    }

    fn of_certificate(&self, certificate: &PeerCertificate) -> Result<Arc<Client>, CallError> {
        let name = match &certificate.identity {
            Identity::Client(name) => name,
            Identity::Node(name) => {
                return Err(CallError::NotAllowed(format!(
                    "node {name} may not make calls that are for clients"
                )));
            }
        };
        // The connection may be older than that.
        if certificate.not_after <= std::time::SystemTime::now() {
            return Err(CallError::CallerUnknown(format!(
                "the certificate of client {name} has expired; connect with a new one"
            )));
        }
        self.clients.of_name(name).ok_or_else(|| {
            CallError::CallerUnknown(format!(
                "there is no client {name}, or it was revoked: its certificate does not count"
            ))
        })
    }

    /// Ends what has expired and follows the file of the admin token, until `stopping`.
    pub(crate) async fn keep(self: Arc<Self>, stopping: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Some(admin) = &self.admin {
                admin.keep().await;
            }
            self.clients.keep().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use hearth_domain::{RepositoryPatterns, Scope};
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::store::Sqlite;

    const HOUR: Duration = Duration::from_secs(3600);

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn peer(identity: Identity, not_after: SystemTime) -> Peer {
        Peer {
            address: None,
            certificate: Some(PeerCertificate {
                key: String::new(),
                identity,
                not_after,
            }),
        }
    }

    #[tokio::test]
    async fn a_certificate_stands_for_the_client_that_it_names_as_long_as_both_last() {
        let directory = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn Store> = Arc::new(Sqlite::of_test(directory.path()).await);
        let file = directory.path().join("token");
        let access = Access::load(true, Some(file), store, Arc::default()).await;
        let access = access.expect("clients");
        let made = access.create(|digest| StoredClient {
            name: name("ci"),
            scopes: Scope::Read.into(),
            repositories: RepositoryPatterns::default(),
            digest,
            created: now(),
            expires: None,
            last_used: None,
        });
        let (_, token) = made.await.expect("a client");
        let later = SystemTime::now() + HOUR;
        let of_client = |name: &str| Identity::Client(name.parse().expect("a name"));
        let none = HeaderMap::new();
        let identify = |headers: &HeaderMap, peer: &Peer| match access.identify(headers, peer) {
            Ok(caller) => caller.to_string(),
            Err(CallError::CallerUnknown(_)) => "unknown".to_owned(),
            Err(error) => error.to_string(),
        };
        let ci = peer(of_client("ci"), later);
        assert_eq!(identify(&none, &ci), "ci");
        for stranger in [
            Peer::default(),
            peer(of_client("ci"), SystemTime::now() - HOUR),
            peer(of_client("other"), later),
            // Its token is in a file, and it is no client of the store.
            peer(of_client(ADMIN), later),
        ] {
            assert_eq!(identify(&none, &stranger), "unknown", "{stranger:?}");
        }
        let node = peer(Identity::Node(name("ci")), later);
        assert_eq!(
            identify(&none, &node),
            "node ci may not make calls that are for clients"
        );
        // A token counts, also a wrong one.
        for (token, caller) in [(token.expose_secret(), "ci"), ("x", "unknown")] {
            let mut headers = HeaderMap::new();
            let value = format!("Bearer {token}").parse().expect("a header");
            headers.insert(AUTHORIZATION, value);
            for peer in [&ci, &node, &Peer::default()] {
                assert_eq!(identify(&headers, peer), caller);
            }
        }
        access.revoke(&name("ci")).await.expect("a revocation");
        assert_eq!(identify(&none, &ci), "unknown");
    }
}
