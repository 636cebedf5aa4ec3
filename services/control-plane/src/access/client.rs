use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use hearth_api::v1::{self, ClientScope};
use hearth_domain::{Name, Repository, RepositoryPatterns, Scope, Scopes};
use prost_types::Timestamp;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use super::table::MayCall;
use crate::{
    clock::{from_millis, millis, now},
    error::CallError,
    store::StoredClient,
};

/// What the client is called whose token is in `--admin-token-file`. No other client can have that name.
pub(super) const ADMIN: &str = "admin-token-file";

/// Who makes a call of a service for clients.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Nobody was asked: whoever reaches the port may call everything.
    Anybody,
    /// A client that has proved who it is.
    Client(Arc<Client>),
}

/// A client that is not revoked.
pub(crate) struct Client {
    /// Its number in the store and its name; `None`: its token is the one in `--admin-token-file`.
    stored: Option<(u64, Name)>,
    scopes: Scopes,
    repositories: RepositoryPatterns,
    /// SHA-256 of its token, in hex.
    digest: String,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// When it called last, in milliseconds since 1970; 0: never.
    used_ms: AtomicI64,
    /// What the store has of that.
    noted_ms: AtomicI64,
    /// Ends with the client.
    ended: CancellationToken,
}

impl Client {
    /// One that the store has, with its number there.
    pub(super) fn stored(number: u64, stored: StoredClient) -> Self {
        let used = stored.last_used.as_ref().map_or(0, millis);
        Self {
            stored: Some((number, stored.name)),
            scopes: stored.scopes,
            repositories: stored.repositories,
            digest: stored.digest,
            created: stored.created,
            expires: stored.expires,
            used_ms: used.into(),
            noted_ms: used.into(),
            ended: CancellationToken::new(),
        }
    }

    /// The one that may do everything, by the digest of its token in `--admin-token-file`.
    pub(super) fn admin(digest: String) -> Self {
        Self {
            stored: None,
            scopes: Scope::Admin.into(),
            repositories: RepositoryPatterns::default(),
            digest,
            created: now(),
            expires: None,
            used_ms: 0.into(),
            noted_ms: 0.into(),
            ended: CancellationToken::new(),
        }
    }

    /// Its number in the store.
    pub(crate) fn number(&self) -> Option<u64> {
        self.stored.as_ref().map(|(number, _)| *number)
    }

    /// Its name in the store, which a certificate can have.
    pub(crate) fn name(&self) -> Option<&Name> {
        self.stored.as_ref().map(|(_, name)| name)
    }

    /// Whether its token has this digest. It takes as long for every digest.
    pub(super) fn is_of(&self, digest: &str) -> bool {
        self.digest.as_bytes().ct_eq(digest.as_bytes()).into()
    }

    /// Cancelled when it is revoked or expires.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    pub(super) fn has_expired(&self, now: &Timestamp) -> bool {
        let expires = self.expires.as_ref();
        expires.is_some_and(|end| millis(end) <= millis(now))
    }

    /// It calls.
    pub(super) fn calls(&self, now: &Timestamp) {
        self.used_ms.fetch_max(millis(now), Ordering::Relaxed);
    }

    /// When it called last, if that is to be noted: at most once in `period_ms`.
    pub(super) fn to_be_noted(&self, period_ms: i64) -> Option<i64> {
        let (used, noted) = (&self.used_ms, &self.noted_ms);
        let (used, noted) = (used.load(Ordering::Relaxed), noted.load(Ordering::Relaxed));
        (used.saturating_sub(noted) >= period_ms).then_some(used)
    }

    pub(super) fn noted(&self, used_ms: i64) {
        self.noted_ms.store(used_ms, Ordering::Relaxed);
    }

    fn is_limited(&self) -> bool {
        !self.scopes.allow(Scope::Admin) && !self.repositories.are_all()
    }

    /// As clients see it.
    pub(crate) fn message(&self) -> v1::Client {
        let used = self.used_ms.load(Ordering::Relaxed);
        let scopes = self.scopes.iter();
        v1::Client {
            name: self.to_string(),
            scopes: scopes.map(|scope| message_of(scope).into()).collect(),
            repositories: self.repositories.iter().map(str::to_owned).collect(),
            create_time: Some(self.created),
            expire_time: self.expires,
            last_use_time: (used > 0).then(|| from_millis(used)),
        }
    }
}

fn message_of(scope: Scope) -> ClientScope {
    match scope {
        Scope::Read => ClientScope::Read,
        Scope::Prepare => ClientScope::Prepare,
        Scope::Exec => ClientScope::Exec,
        Scope::Admin => ClientScope::Admin,
    }
}

impl Caller {
    /// Who makes a call. The layer in front of the services has put it there.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, CallError> {
        let caller = request.extensions().get::<Self>();
        caller
            .cloned()
            .ok_or_else(|| CallError::CallerUnknown("it is not known who calls".into()))
    }

    /// Fails unless it may make this call.
    pub(super) fn check(&self, call: &str, may: MayCall) -> Result<(), CallError> {
        let Self::Client(client) = self else {
            return Ok(());
        };
        match may {
            MayCall::Client(scope) if !client.scopes.allow(scope) => {
                Err(CallError::NotAllowed(format!(
                    "client {client} may not call {call}: that needs the scope {scope}, and it has {}; ask an admin for a \
                     client with that scope (`hearth client create`)",
                    client.scopes
                )))
            }
            _ => Ok(()),
        }
    }

    /// Who a workspace belongs to that it asks for. Empty where nobody is asked who calls.
    pub(crate) fn owner(&self) -> String {
        match self {
            Self::Anybody => String::new(),
            Self::Client(client) => client.to_string(),
        }
    }

    /// Fails unless it may name this owner of a workspace.
    pub(crate) fn check_owner(&self, owner: &str) -> Result<(), CallError> {
        match self {
            Self::Client(client)
                if owner != client.to_string() && !client.scopes.allow(Scope::Admin) =>
            {
                Err(CallError::NotAllowed(format!(
                    "client {client} may not name {owner} as the owner of a workspace, only itself; that needs the scope admin"
                )))
            }
            Self::Client(_) | Self::Anybody => Ok(()),
        }
    }

    /// The client, where one was asked for.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Anybody => None,
            Self::Client(client) => Some(client.to_string()),
        }
    }

    /// Whether there are repositories that it does not see.
    pub(crate) fn is_limited(&self) -> bool {
        match self {
            Self::Anybody => false,
            Self::Client(client) => client.is_limited(),
        }
    }

    /// Whether it sees what is of a repository.
    pub(crate) fn sees(&self, repository: &Repository) -> bool {
        match self {
            Self::Client(client) if client.is_limited() => client.repositories.allow(repository),
            Self::Client(_) | Self::Anybody => true,
        }
    }

    /// Whether it sees what is of the repository of this URL. What is of an unknown one is seen by those alone that see all.
    pub(crate) fn sees_url(&self, url: &str) -> bool {
        !self.is_limited() || url.parse().is_ok_and(|repository| self.sees(&repository))
    }

    /// Fails unless it may work with a repository that it has named.
    pub(crate) fn check_repository(&self, repository: &Repository) -> Result<(), CallError> {
        match self {
            Self::Client(client) if !self.sees(repository) => Err(CallError::NotAllowed(format!(
                "client {client} is limited to the repositories {}, and {repository} is none of them; ask an admin for a \
                     client with another pattern (`hearth client create --repositories`)",
                client.repositories
            ))),
            Self::Client(_) | Self::Anybody => Ok(()),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => name.fmt(f),
            None => f.write_str(ADMIN),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::Client(client) => client.fmt(f),
        }
    }
}
