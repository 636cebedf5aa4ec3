//! Tokens and the installations that they come from: issued on demand, once for all callers that need the same, and cached
//! while they are valid.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use moka::{Expiry, future::Cache, ops::compute::Op};
use tokio::time::Instant;

use super::{
    super::counters::Counters,
    api::Api,
    failure::{Failure, Refusal},
    permissions::Permissions,
    wire::{Installation, Slug, Token},
};

/// For a lookup and a token, with all retries.
const ALTOGETHER: Duration = Duration::from_secs(10);
/// A token is not used in its last minutes, so that a push that begins with it can end with it.
const MARGIN: Duration = Duration::from_secs(300);
/// Bounds the cache of installations: the next token notices one that ended or changed.
const INSTALLATION: Duration = Duration::from_secs(3600);
const MAX_ENTRIES: u64 = 10_000;

/// Issues and caches the tokens of one App.
pub(super) struct Minter {
    api: Api,
    counters: Arc<Counters>,
    installations: Cache<String, Arc<Installation>>,
    fresh: Cache<Fresh, Arc<Token>>,
    /// The newest token for each need until it expires, for when no better one can be issued.
    spare: Cache<Spare, Arc<Token>>,
}

/// Key of a cached token: installation, repository, permissions.
type Fresh = (u64, String, Permissions);
/// Key of a need: repository and permissions.
type Spare = (String, Permissions);

/// Why an installation is not cached.
enum NotKept {
    /// It lacks a permission that is needed. Once that is granted, the next lookup has to see it.
    Lacking(Arc<Installation>),
    Failed(Failure),
}

impl Minter {
    pub(super) fn new(api: Api, counters: Arc<Counters>) -> Self {
        Self {
            api,
            counters,
            installations: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .time_to_live(INSTALLATION)
                .build(),
            fresh: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .expire_after(Ends(fresh_for))
                .build(),
            spare: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .expire_after(Ends(|life| life))
                .build(),
        }
    }

    pub(super) fn skew_seconds(&self) -> Option<i64> {
        self.api.skew_seconds()
    }

    /// A token with those of the needed permissions that the installation was granted; `None` if that is none of them. Never
    /// the token whose SHA-256 is `refused`.
    pub(super) async fn token(
        &self,
        slug: &Slug,
        needed: Permissions,
        refused: &str,
    ) -> Result<Option<Arc<Token>>, Failure> {
        let failure = match self.fresh_token(slug, needed, refused).await {
            Ok(token) => return Ok(token),
            Err(failure) => failure,
        };
        if failure.leaves_tokens_alive() {
            let spare = self.spare.get(&(slug.key(), needed)).await;
            if let Some(token) = spare.filter(|token| token.sha256 != refused) {
                self.counters.cached();
                return Ok(Some(token));
            }
        }
        Err(failure)
    }

    async fn fresh_token(
        &self,
        slug: &Slug,
        needed: Permissions,
        refused: &str,
    ) -> Result<Option<Arc<Token>>, Failure> {
        let deadline = Instant::now() + ALTOGETHER;
        let mut looked_up_again = false;
        loop {
            let installation = self.installation(slug, needed, deadline).await?;
            let permissions = needed.within(&installation.permissions);
            if permissions.is_empty() {
                return Ok(None);
            }
            let key = (installation.id, slug.key(), permissions);
            match self
                .kept_or_made(key, slug, needed, refused, deadline)
                .await
            {
                Ok(token) => return Ok(Some(token)),
                Err(refusal) if refusal.is_of_another_installation() && !looked_up_again => {
                    looked_up_again = true;
                    forget(&self.installations, slug.key(), &installation).await;
                }
                Err(refusal) => return Err(refusal.into_failure(self.api.app_id(), slug)),
            }
        }
    }

    /// The installation for the repository, cached only if it was granted all that is needed.
    async fn installation(
        &self,
        slug: &Slug,
        needed: Permissions,
        deadline: Instant,
    ) -> Result<Arc<Installation>, Failure> {
        let key = slug.key();
        if let Some(known) = self.installations.get(&key).await {
            if is_enough(&known, needed) {
                return Ok(known);
            }
            forget(&self.installations, key.clone(), &known).await;
        }
        let look_up = async {
            let found = self
                .within(deadline, self.api.installation(slug))
                .await
                .map_err(|refusal| refusal.into_failure(self.api.app_id(), slug));
            match found {
                Ok(found) if found.suspended_at.is_some() => {
                    Err(self.failed(slug, Failure::Suspended(slug.to_string())))
                }
                Ok(found) if is_enough(&found, needed) => Ok(Arc::new(found)),
                Ok(found) => Err(NotKept::Lacking(Arc::new(found))),
                Err(failure) => Err(self.failed(slug, failure)),
            }
        };
        let found = self.installations.try_get_with(key, look_up).await;
        found.or_else(|why| match &*why {
            NotKept::Lacking(found) => Ok(found.clone()),
            NotKept::Failed(failure) => Err(failure.clone()),
        })
    }

    /// Logged here once, and not by every caller that waits for it.
    fn failed(&self, slug: &Slug, failure: Failure) -> NotKept {
        tracing::warn!(
            repository = %slug,
            reason = failure.reason().as_str_name(),
            "no installation of the GitHub App: {failure}"
        );
        NotKept::Failed(failure)
    }

    async fn kept_or_made(
        &self,
        key: Fresh,
        slug: &Slug,
        needed: Permissions,
        refused: &str,
        deadline: Instant,
    ) -> Result<Arc<Token>, Refusal> {
        match self.fresh.get(&key).await {
            Some(token) if token.sha256 == refused => {
                forget(&self.fresh, key.clone(), &token).await;
            }
            Some(token) => {
                self.counters.cached();
                return Ok(token);
            }
            None => {}
        }
        let (installation, _, permissions) = key;
        let make = async {
            let made = self
                .within(deadline, self.api.mint(installation, slug, permissions))
                .await;
            let token = Arc::new(made.inspect_err(|refusal| {
                tracing::warn!(
                    repository = %slug,
                    installation,
                    "GitHub issued no token: {}",
                    refusal.clone().into_failure(self.api.app_id(), slug)
                );
            })?);
            let spare = (slug.key(), needed);
            self.spare.insert(spare, token.clone()).await;
            Ok(token)
        };
        let token = self.fresh.try_get_with(key, make).await;
        let token = token.map_err(|refusal: Arc<Refusal>| Refusal::clone(&refusal))?;
        if token.sha256 == refused {
            let what = "the token that a host has refused".to_owned();
            return Err(Refusal::Unexpected(what));
        }
        Ok(token)
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        answer: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::time::timeout_at(deadline, answer)
            .await
            .unwrap_or_else(|_| {
                let seconds = ALTOGETHER.as_secs();
                Err(Refusal::Unreachable(format!(
                    "nothing within {seconds} seconds"
                )))
            })
    }
}

fn is_enough(installation: &Installation, needed: Permissions) -> bool {
    needed.within(&installation.permissions) == needed
}

/// Drops an outdated value, but not one that replaced it meanwhile.
async fn forget<K, V>(cache: &Cache<K, Arc<V>>, key: K, stale: &Arc<V>)
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    cache
        .entry(key)
        .and_compute_with(|entry| {
            let is_stale = entry.is_some_and(|entry| Arc::ptr_eq(entry.value(), stale));
            ready(if is_stale { Op::Remove } else { Op::Nop })
        })
        .await;
}

/// How long a token with this lifetime is used: until five minutes before its end, or for half of a short lifetime.
fn fresh_for(life: Duration) -> Duration {
    if life < MARGIN * 2 {
        life / 2
    } else {
        life - MARGIN
    }
}

/// Caches each token as long as its lifetime allows.
struct Ends(fn(Duration) -> Duration);

impl<K> Expiry<K, Arc<Token>> for Ends {
    fn expire_after_create(&self, _: &K, token: &Arc<Token>, _: StdInstant) -> Option<Duration> {
        Some((self.0)(token.life))
    }

    fn expire_after_update(
        &self,
        _: &K,
        token: &Arc<Token>,
        _: StdInstant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some((self.0)(token.life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_handed_out_until_five_minutes_before_its_end_or_for_half_of_a_short_life() {
        let seconds = Duration::from_secs;
        for (life, handed_out) in [(3600, 3300), (600, 300), (599, 299), (4, 2), (1, 0)] {
            assert_eq!(fresh_for(seconds(life)).as_secs(), handed_out, "{life}");
        }
    }
}
