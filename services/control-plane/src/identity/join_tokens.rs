use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_domain::{Name, sha256_hex};
use prost_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use wildmatch::WildMatch;

use super::{ca::Ca, error::IdentityError};
use crate::{
    clock::{millis, now},
    node::new_token,
    store::{Joining, Store, StoredJoinToken},
};

/// How long a token that has expired is still listed.
const SHOWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Tokens with which nodes join.
pub(crate) struct JoinTokens {
    store: Arc<dyn Store>,
    /// Without one nodes need no token.
    ca: Option<Arc<Ca>>,
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub(crate) struct NewJoinToken {
    /// How many nodes may join; `None`: any number.
    pub(crate) uses: Option<u32>,
    /// How long it is valid.
    pub(crate) life: Duration,
    /// Pattern of the nodes' names; empty: any.
    pub(crate) nodes: String,
    /// What it is for.
    pub(crate) description: String,
}

impl JoinTokens {
    pub(crate) fn new(store: Arc<dyn Store>, ca: Option<Arc<Ca>>) -> Self {
        Self { store, ca }
    }

    /// Makes a token: what lists show of it, and what the node's agent is given.
    pub(crate) async fn create(
        &self,
        new: NewJoinToken,
    ) -> Result<(StoredJoinToken, SecretString), IdentityError> {
        let ca = self.ca.as_ref().ok_or(IdentityError::NoCa)?;
        let secret = new_token()?;
        let created = SystemTime::now();
        let token = StoredJoinToken {
            id: format!("jt-{}", uuid::Uuid::new_v4().simple()),
            expires: Timestamp::from(created + new.life),
            uses_left: new.uses,
            nodes: new.nodes,
            description: new.description,
            created: created.into(),
            used: None,
        };
        let digest = sha256_hex(secret.expose_secret());
        let kept_from = Timestamp::from(created.checked_sub(SHOWN).unwrap_or(created));
        self.store
            .put_join_token(&token, &digest, kept_from)
            .await?;
        tracing::info!(token.id, "join token made");
        let whole = format!("{}@{}", secret.expose_secret(), ca.fingerprint());
        Ok((token, whole.into()))
    }

    /// All tokens, newest first.
    pub(crate) async fn list(&self) -> Result<Vec<StoredJoinToken>, IdentityError> {
        Ok(self.store.join_tokens().await?)
    }

    /// Ends a token.
    pub(crate) async fn revoke(&self, id: &str) -> Result<(), IdentityError> {
        match self.store.delete_join_token(id).await? {
            true => {
                tracing::info!(token.id = id, "join token revoked");
                Ok(())
            }
            false => Err(IdentityError::TokenUnknown(id.to_owned())),
        }
    }
}

/// The token of this secret, if it lets this node join. Nothing is used yet.
pub(super) async fn valid(
    store: &dyn Store,
    secret: &SecretString,
    node: &Name,
) -> Result<StoredJoinToken, IdentityError> {
    let refused = |why: &str| {
        Err(IdentityError::Refused(format!(
            "the join token {why}; `hearth token create` makes another one"
        )))
    };
    // By its digest: the time of the comparison tells nothing of a secret.
    let digest = sha256_hex(secret.expose_secret());
    let Some(token) = store.join_token(&digest).await? else {
        return refused("is not known: it is wrong, or was revoked");
    };
    if millis(&token.expires) <= millis(&now()) {
        return refused("has expired");
    }
    if !token.nodes.is_empty() && !WildMatch::new(&token.nodes).matches(node.as_str()) {
        let why = format!("is for nodes named {}", token.nodes);
        return refused(&why);
    }
    Ok(token)
}

/// Uses a token for a node.
pub(super) async fn take(
    store: &dyn Store,
    token: &StoredJoinToken,
    node: Joining<'_>,
) -> Result<(), IdentityError> {
    match store.join(&token.id, node, now()).await? {
        true => Ok(()),
        false => Err(IdentityError::Refused(
            "the join token has been used by as many nodes as it is for; `hearth token create` makes another one".to_owned(),
        )),
    }
}
