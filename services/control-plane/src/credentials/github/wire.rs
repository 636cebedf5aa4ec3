//! GitHub's requests and answers. octocrab's own types have no permissions in the request and no packages.

use std::time::{Duration, SystemTime};

use hearth_domain::{Repository, sha256_hex};
use prost_types::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::permissions::{Granted, Permissions};

/// The lifetime of GitHub's tokens. None is used for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);

/// `owner/name` of a repository at GitHub, where letter case does not matter.
#[derive(Clone, Debug)]
pub(super) struct Slug {
    owner: String,
    name: String,
}

impl Slug {
    /// `None` if the path has another form.
    pub(super) fn of(repository: &Repository) -> Option<Self> {
        let (owner, name) = repository.path().split_once('/')?;
        (!name.contains('/')).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same for all spellings.
    pub(super) fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// An App's installation in an account (`GET /repos/{owner}/{repo}/installation`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) permissions: Granted,
    #[serde(default)]
    pub(super) suspended_at: Option<String>,
}

/// Asks for a token (`POST /app/installations/{id}/access_tokens`).
#[derive(Debug, Serialize)]
pub(super) struct TokenRequest<'a> {
    pub(super) repositories: [&'a str; 1],
    pub(super) permissions: Granted,
}

/// The answer. It has no `Debug`, since it holds the token.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: String,
    expires_at: String,
    permissions: Granted,
    #[serde(default)]
    repositories: Vec<RepositoryAnswer>,
}

#[derive(Deserialize)]
struct RepositoryAnswer {
    name: String,
    full_name: Option<String>,
}

/// A token that matches its request.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) sha256: String,
    pub(super) permissions: Permissions,
    /// By GitHub's clock.
    pub(super) expires: SystemTime,
    /// Its lifetime from the answer on.
    pub(super) life: Duration,
}

impl TokenAnswer {
    /// The token, if it is for exactly this repository and these permissions and valid at `now`, GitHub's time if it is
    /// known.
    pub(super) fn check(
        self,
        slug: &Slug,
        permissions: Permissions,
        now: SystemTime,
    ) -> Result<Token, String> {
        if self.permissions != permissions.listed() {
            return Err(format!(
                "a token with the permissions {:?} and not those that were asked for, {:?}",
                self.permissions,
                permissions.listed()
            ));
        }
        let is_it = |repository: &RepositoryAnswer| {
            let full = slug.to_string();
            repository.name.eq_ignore_ascii_case(&slug.name)
                && (repository.full_name.as_ref())
                    .is_none_or(|name| name.eq_ignore_ascii_case(&full))
        };
        match &self.repositories[..] {
            [one] if is_it(one) => {}
            others => {
                return Err(format!(
                    "a token for {} repositories and not for {slug} alone",
                    others.len()
                ));
            }
        }
        let expires: Timestamp = self
            .expires_at
            .parse()
            .map_err(|_| "a token without a valid expiry time".to_owned())?;
        let expires = SystemTime::try_from(expires)
            .map_err(|_| "a token without a valid expiry time".to_owned())?;
        let life = expires.duration_since(now).unwrap_or_default();
        if life.is_zero() {
            return Err("a token that has expired".to_owned());
        }
        if self.token.is_empty() || self.token.contains(|c: char| !c.is_ascii_graphic()) {
            return Err("a token that is empty or malformed".to_owned());
        }
        Ok(Token {
            sha256: sha256_hex(&self.token),
            secret: SecretString::from(self.token),
            permissions,
            expires,
            life: life.min(LONGEST_LIFE),
        })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
