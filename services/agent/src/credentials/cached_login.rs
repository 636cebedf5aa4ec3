use std::time::{Duration, SystemTime};

use hearth_domain::{Login, sha256_hex};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

/// A login is replaced so long before it expires, or after half its life if that is later.
const MARGIN: Duration = Duration::from_secs(300);
/// Where no login is configured, the next request is made after so long.
const NONE_PAUSE: Duration = Duration::from_secs(300);
/// Shortest time between two requests because of a refused login: some hosts refuse every login.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);

/// A login for one host, and when to ask for the next one.
#[derive(Debug, Default)]
pub(super) struct CachedLogin {
    login: Option<Login>,
    ends: Option<Instant>,
    due: Option<Instant>,
    refused: Option<Instant>,
}

impl CachedLogin {
    /// Stores an answer. `retry` is when to ask again for a login that is missing because of a problem.
    pub(super) fn take(&mut self, login: Option<Login>, retry: Option<Instant>) {
        let now = Instant::now();
        let expires = login.as_ref().and_then(|login| login.expires);
        let lifetime = expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        self.ends = lifetime.map(|lifetime| now + lifetime);
        self.due = match (&login, lifetime) {
            (None, _) => Some(retry.unwrap_or(now + NONE_PAUSE)),
            (Some(_), None) => None,
            (Some(_), Some(lifetime)) => Some(now + lifetime - MARGIN.min(lifetime / 2)),
        };
        self.login = login;
    }

    /// The login, unless it has expired.
    pub(super) fn unexpired(&self) -> Option<Login> {
        self.login
            .clone()
            .filter(|_| self.ends.is_none_or(|ends| Instant::now() < ends))
    }

    /// Whether to ask for a login; `asked` is whether there was an answer before.
    pub(super) fn is_due(&self, asked: bool) -> bool {
        match self.due {
            Some(due) => Instant::now() >= due,
            None => !asked,
        }
    }

    /// The login, if it is another one than the refused one.
    pub(super) fn instead_of(&self, refused: &SecretString) -> Option<Login> {
        self.unexpired()
            .filter(|login| login.password.expose_secret() != refused.expose_secret())
    }

    /// Records that the login was refused; false if one was refused less than [`REFUSAL_PAUSE`] ago.
    pub(super) fn refuse(&mut self) -> bool {
        let now = Instant::now();
        let again = self.refused.is_some_and(|at| now < at + REFUSAL_PAUSE);
        if !again {
            self.refused = Some(now);
        }
        !again
    }
}

/// How a refused password is reported to the control plane.
pub(super) fn sha256(password: &SecretString) -> String {
    sha256_hex(password.expose_secret())
}
