use std::time::{Duration, SystemTime};

use hearth_domain::{Login, sha256_hex};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

/// A login is replaced this long before it ends, or at half its life where that is later.
const MARGIN: Duration = Duration::from_secs(300);
/// A source that has no login, and no problem either, is not asked again sooner.
const NONE_PAUSE: Duration = Duration::from_secs(300);
/// A host that refuses whatever it gets is not a reason to make logins all the time.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);

/// The login that there is for one purpose, and when to ask for the next one.
#[derive(Debug, Default)]
pub(super) struct CachedLogin {
    login: Option<Login>,
    ends: Option<Instant>,
    due: Option<Instant>,
    refused: Option<Instant>,
}

impl CachedLogin {
    /// Takes what came; `retry` is when a login that is missing is worth asking for again, if there is a reason that it
    /// is missing.
    pub(super) fn take(&mut self, login: Option<Login>, retry: Option<Instant>) {
        let now = Instant::now();
        let expires = login.as_ref().and_then(|login| login.expires);
        let life = expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        self.ends = life.map(|life| now + life);
        self.due = match (&login, life) {
            (None, _) => Some(retry.unwrap_or(now + NONE_PAUSE)),
            (Some(_), None) => None,
            (Some(_), Some(life)) => Some(now + life - MARGIN.min(life / 2)),
        };
        self.login = login;
    }

    /// The login, while it lives.
    pub(super) fn live(&self) -> Option<Login> {
        self.login
            .clone()
            .filter(|_| self.ends.is_none_or(|ends| Instant::now() < ends))
    }

    /// Whether it is time to ask; at first it is.
    pub(super) fn is_due(&self, asked: bool) -> bool {
        match self.due {
            Some(due) => Instant::now() >= due,
            None => !asked,
        }
    }

    /// The login that there is instead of a refused one.
    pub(super) fn instead_of(&self, refused: &SecretString) -> Option<Login> {
        self.live()
            .filter(|login| login.password.expose_secret() != refused.expose_secret())
    }

    /// Notes that the login is refused; false when that was so a moment ago.
    pub(super) fn refuse(&mut self) -> bool {
        let now = Instant::now();
        let again = self.refused.is_some_and(|at| now < at + REFUSAL_PAUSE);
        if !again {
            self.refused = Some(now);
        }
        !again
    }
}

/// How a refused password is named to the control plane.
pub(super) fn sha256(password: &SecretString) -> String {
    sha256_hex(password.expose_secret())
}
