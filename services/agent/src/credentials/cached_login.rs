use std::time::{Duration, SystemTime};

use hearth_domain::sha256_hex;
use hearth_layers::RegistryLogin;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::external::git::GitLogin;

/// A login is replaced this long before it ends, or at half its life where that is later.
const MARGIN: Duration = Duration::from_secs(300);
/// A source that has no login, and no problem either, is not asked again sooner.
const NONE_PAUSE: Duration = Duration::from_secs(300);
/// A host that refuses whatever it gets is not a reason to make logins all the time.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);

/// A login of either kind.
pub(super) trait Login: Clone {
    fn password(&self) -> &SecretString;
}

impl Login for GitLogin {
    fn password(&self) -> &SecretString {
        &self.password
    }
}

impl Login for RegistryLogin {
    fn password(&self) -> &SecretString {
        &self.password
    }
}

/// The login that there is for one purpose, and when to ask for the next one.
#[derive(Debug)]
pub(super) struct CachedLogin<T> {
    login: Option<T>,
    ends: Option<Instant>,
    due: Option<Instant>,
    refused: Option<Instant>,
}

impl<T> Default for CachedLogin<T> {
    fn default() -> Self {
        Self {
            login: None,
            ends: None,
            due: None,
            refused: None,
        }
    }
}

impl<T: Login> CachedLogin<T> {
    /// Takes what came; `retry` is when a login that is missing is worth asking for again, if there is a reason that it
    /// is missing.
    pub(super) fn take(
        &mut self,
        login: Option<T>,
        expires: Option<SystemTime>,
        retry: Option<Instant>,
    ) {
        let now = Instant::now();
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
    pub(super) fn live(&self) -> Option<T> {
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
    pub(super) fn instead_of(&self, refused: &SecretString) -> Option<T> {
        self.live()
            .filter(|login| login.password().expose_secret() != refused.expose_secret())
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
