use std::{collections::BTreeMap, sync::Arc};

use hearth_domain::{RepositoryPattern, Secret, SecretName, SecretValue};

use super::{
    keys::SecretKeys,
    seal::{Bound, SealingKey},
};
use crate::{
    cache::CacheRules,
    clock::now,
    error::CallError,
    record::Record,
    store::{Store, StoredSecret},
};

/// Most secrets.
const MAX_SECRETS: u32 = 1000;
/// Most secrets of a workspace, and most bytes of their values: they are in the environment of each of its commands.
const MAX_OF_WORKSPACE: usize = 100;
const MAX_BYTES_OF_WORKSPACE: usize = 256 * 1024;

/// The secrets that workspaces get.
pub(crate) struct Secrets {
    store: Arc<dyn Store>,
    rules: Arc<CacheRules>,
    /// `None`: there is no file for them.
    keys: Option<SecretKeys>,
}

impl StoredSecret {
    fn bound(&self) -> Bound<'_> {
        Bound {
            name: &self.name,
            repositories: &self.repositories,
            all_refs: self.all_refs,
        }
    }
}

impl Secrets {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        rules: Arc<CacheRules>,
        keys: Option<SecretKeys>,
    ) -> Self {
        Self { store, rules, keys }
    }

    /// Sets a secret.
    pub(crate) async fn set(
        &self,
        name: SecretName,
        repositories: RepositoryPattern,
        all_refs: bool,
        value: &SecretValue,
    ) -> Result<StoredSecret, CallError> {
        let key = self.current()?;
        let now = now();
        let mut secret = StoredSecret {
            name,
            repositories,
            all_refs,
            key_id: key.id().to_owned(),
            sealed: Vec::new(),
            created: now,
            updated: now,
        };
        let sealed = key.seal(value, secret.bound());
        secret.sealed = sealed.map_err(|error| CallError::SecretUnsealed(error.to_string()))?;
        let set = self.store.set_secret(&secret, MAX_SECRETS).await?;
        set.ok_or(CallError::TooManySecrets { max: MAX_SECRETS })
    }

    /// All of them, newest first, with their numbers.
    pub(crate) async fn list(&self) -> Result<Vec<(u64, StoredSecret)>, CallError> {
        Ok(self.store.secrets().await?)
    }

    /// Deletes one.
    pub(crate) async fn delete(
        &self,
        name: &SecretName,
        repositories: &RepositoryPattern,
    ) -> Result<(), CallError> {
        match self.store.delete_secret(name, repositories).await? {
            true => Ok(()),
            false => Err(CallError::SecretUnknown {
                name: name.to_string(),
                repositories: repositories.to_string(),
            }),
        }
    }

    /// Those of a workspace: of its repository, and only what is for all refs unless its ref is one that may write to the
    /// repository's cache. Those that cannot be given are told in sentences.
    pub(crate) async fn of(
        &self,
        record: &Record,
    ) -> Result<(Vec<Secret>, Vec<String>), CallError> {
        let spec = &record.spec;
        let trusted = self.rules.writers.allow(&spec.git_ref);
        let mut chosen: BTreeMap<SecretName, StoredSecret> = BTreeMap::new();
        for (_, secret) in self.store.secrets().await? {
            let is_for =
                (secret.all_refs || trusted) && secret.repositories.matches(&spec.repository);
            let is_closer = |other: &StoredSecret| closeness(&secret) > closeness(other);
            if is_for && chosen.get(&secret.name).is_none_or(is_closer) {
                chosen.insert(secret.name.clone(), secret);
            }
        }
        let (mut given, mut problems, mut bytes) = (Vec::new(), Vec::new(), 0);
        for secret in chosen.into_values() {
            let name = secret.name.clone();
            match self.open(&secret) {
                Ok(value) if given.len() < MAX_OF_WORKSPACE => {
                    bytes += value.expose().len();
                    if bytes > MAX_BYTES_OF_WORKSPACE {
                        problems.push(format!(
                            "the secret {name} and those after it are left out: a workspace gets at most 256 KiB of them"
                        ));
                        break;
                    }
                    given.push(Secret { name, value });
                }
                Ok(_) => {
                    problems.push(format!(
                        "the secret {name} and those after it are left out: a workspace gets at most {MAX_OF_WORKSPACE} of them"
                    ));
                    break;
                }
                Err(why) => problems.push(format!("the secret {name} is left out: {why}")),
            }
        }
        Ok((given, problems))
    }

    /// Encrypts those with earlier keys anew, so that these are not needed any more.
    pub(crate) async fn reseal(&self) -> Result<(), CallError> {
        let Ok(key) = self.current() else {
            return Ok(());
        };
        let (mut resealed, mut lost) = (0, 0);
        for (_, secret) in self.store.secrets().await? {
            if secret.key_id == key.id() {
                continue;
            }
            let sealed = self
                .open(&secret)
                .ok()
                .map(|value| key.seal(&value, secret.bound()));
            match sealed {
                Some(Ok(sealed)) => {
                    self.store.reseal_secret(&secret, key.id(), &sealed).await?;
                    resealed += 1;
                }
                Some(Err(_)) | None => lost += 1,
            }
        }
        if resealed > 0 {
            tracing::info!(
                resealed,
                "secrets are encrypted with the first key of --secrets-key-file now"
            );
        }
        if lost > 0 {
            tracing::error!(
                lost,
                "secrets cannot be decrypted with the keys of --secrets-key-file (HEARTH_SECRETS_KEY_FILE): add the key that they were encrypted with, or set them again"
            );
        }
        Ok(())
    }

    fn current(&self) -> Result<&SealingKey, CallError> {
        let keys = self.keys.as_ref();
        keys.and_then(SecretKeys::current)
            .ok_or(CallError::NoSecretsKey)
    }

    fn open(&self, secret: &StoredSecret) -> Result<SecretValue, String> {
        let key = self.keys.as_ref().and_then(|keys| keys.of(&secret.key_id));
        let key = key.ok_or(
            "the control plane does not have the key that it was encrypted with; set it again",
        )?;
        let value = key.open(&secret.sealed, secret.bound());
        value.map_err(|error| format!("{error}; set it again"))
    }
}

/// Of several secrets with the same name the one with the longest pattern counts, and of those the last by the alphabet.
fn closeness(secret: &StoredSecret) -> (usize, String) {
    let pattern = secret.repositories.to_string();
    (pattern.len(), pattern)
}

#[cfg(test)]
#[path = "granted_tests.rs"]
mod tests;
