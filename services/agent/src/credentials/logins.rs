use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use hearth_domain::{AttemptRef, Login};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::time::Instant;

use super::cached_login::{CachedLogin, sha256};
use crate::external::control_plane::{
    CredentialFailure, Credentials, IssuedLogins, LoginProblem, LoginPurpose,
};

/// How long the control plane may take to answer; after that the attempt goes on without a login.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after a failed request before the next one: an attempt needs logins often, and must not wait each time.
const RETRY_PAUSE: Duration = Duration::from_secs(15);

/// Called with a sentence about a login that is missing.
type Warn = Box<dyn Fn(String) + Send + Sync>;

/// The logins of an attempt, or of the workspace that it made. They are requested when they are needed, kept in memory,
/// and requested again before they expire; callers at the same time share one request.
///
/// No call fails: a login that cannot be had is `None`, with one warning.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    credentials: Arc<dyn Credentials>,
    attempt: AttemptRef,
    purpose: LoginPurpose,
    warn: Warn,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    git: CachedLogin,
    registry: CachedLogin,
    problems: Vec<LoginProblem>,
    unanswered: Option<(CredentialFailure, Instant)>,
    answered: bool,
    asking: Option<Shared<BoxFuture<'static, ()>>>,
    reported: BTreeSet<String>,
}

impl Logins {
    /// Requests nothing yet. `warn` is called once for each problem.
    pub fn new(
        credentials: Arc<dyn Credentials>,
        attempt: AttemptRef,
        purpose: LoginPurpose,
        warn: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            credentials,
            attempt,
            purpose,
            warn: Box::new(warn),
            state: Mutex::default(),
        }))
    }

    /// The login for the repository's git host.
    pub async fn git(&self) -> Option<Login> {
        self.current(|state| &mut state.git).await
    }

    /// The login for the cache's registry.
    pub async fn registry(&self) -> Option<Login> {
        self.current(|state| &mut state.registry).await
    }

    /// The login for the registry of `image`, if that is the cache's registry.
    pub async fn for_image(&self, image: &str) -> Option<Login> {
        self.registry()
            .await
            .filter(|login| image.split('/').next() == Some(login.host.as_str()))
    }

    /// Another login for the git host, which did not accept this password.
    pub async fn git_instead_of(&self, refused: &SecretString) -> Option<Login> {
        self.instead_of(refused, |state| &mut state.git).await
    }

    /// Another login for the registry, which did not accept this password.
    pub async fn registry_instead_of(&self, refused: &SecretString) -> Option<Login> {
        self.instead_of(refused, |state| &mut state.registry).await
    }

    /// Why there is no login for `host`, or one with too few rights, in a sentence.
    pub fn problem(&self, host: &str) -> Option<String> {
        let state = self.0.state.lock();
        match (&state.unanswered, state.problem(host, |_| true)) {
            (_, Some(problem)) => Some(problem.message.clone()),
            (Some((failure, _)), None) => Some(failure.to_string()),
            (None, None) => None,
        }
    }

    /// What to do about a right that the login for `host` lacks, in a sentence.
    pub fn missing_permission(&self, host: &str) -> Option<String> {
        let state = self.0.state.lock();
        let problem = state.problem(host, |problem| problem.permission_missing);
        Some(problem?.message.clone())
    }

    async fn current(&self, pick: fn(&mut State) -> &mut CachedLogin) -> Option<Login> {
        let asking = {
            let mut state = self.0.state.lock();
            let asked = state.answered;
            let due = pick(&mut state).is_due(asked) && !state.is_pausing();
            due.then(|| self.ask(&mut state, None))
        };
        if let Some(asking) = asking {
            asking.await;
        }
        pick(&mut self.0.state.lock()).unexpired()
    }

    async fn instead_of(
        &self,
        refused: &SecretString,
        pick: fn(&mut State) -> &mut CachedLogin,
    ) -> Option<Login> {
        // A request that is under way does not name this refusal.
        let asking = self.0.state.lock().asking.clone();
        if let Some(asking) = asking {
            asking.await;
        }
        let asking = {
            let mut state = self.0.state.lock();
            let cached = pick(&mut state);
            if let Some(other) = cached.instead_of(refused) {
                return Some(other);
            }
            // A login that expired was refused for that reason.
            let ended = cached.unexpired().is_none();
            if !ended && !cached.refuse() {
                return None;
            }
            let refused = (!ended).then(|| sha256(refused));
            self.ask(&mut state, refused)
        };
        asking.await;
        pick(&mut self.0.state.lock()).instead_of(refused)
    }

    /// The request that is under way, or a new one. Every caller that awaits it drives it, so that a caller that goes away
    /// does not delay the others.
    fn ask(&self, state: &mut State, refused: Option<String>) -> Shared<BoxFuture<'static, ()>> {
        if let Some(asking) = &state.asking {
            return asking.clone();
        }
        let inner = Arc::downgrade(&self.0);
        let (credentials, attempt) = (self.0.credentials.clone(), self.0.attempt.clone());
        let purpose = self.0.purpose;
        let asking = async move {
            let answer = credentials.refresh(&attempt, purpose, refused.as_deref());
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer)
                .await
                .unwrap_or_else(|_| {
                    let seconds = ANSWER_TIMEOUT.as_secs();
                    Err(CredentialFailure(format!("no answer within {seconds} s")))
                });
            if let Some(inner) = Weak::upgrade(&inner) {
                inner.take(answer);
            }
        }
        .boxed()
        .shared();
        state.asking = Some(asking.clone());
        asking
    }
}

impl Inner {
    fn take(&self, answer: Result<IssuedLogins, CredentialFailure>) {
        let mut state = self.state.lock();
        state.asking = None;
        let warnings = match answer {
            Ok(answer) => state.answer(answer),
            Err(failure) => {
                let sentence = failure.to_string();
                state.unanswered = Some((failure, Instant::now()));
                let first = state.reported.insert(String::new());
                first
                    .then(|| format!("{sentence}; going on without"))
                    .into_iter()
                    .collect()
            }
        };
        drop(state);
        for sentence in warnings {
            (self.warn)(sentence);
        }
    }
}

impl State {
    /// Stores an answer; returns what to warn of.
    fn answer(&mut self, answer: IssuedLogins) -> Vec<String> {
        let IssuedLogins {
            git,
            registry,
            problems,
        } = answer;
        self.answered = true;
        self.unanswered = None;
        let retry = (!problems.is_empty()).then(|| Instant::now() + RETRY_PAUSE);
        self.git.take(git, retry);
        self.registry.take(registry, retry);
        self.problems = problems;
        let reported = &mut self.reported;
        self.problems
            .iter()
            .filter(|problem| reported.insert(problem.message.clone()))
            .map(|problem| problem.message.clone())
            .collect()
    }

    fn problem(&self, host: &str, fits: impl Fn(&LoginProblem) -> bool) -> Option<&LoginProblem> {
        self.problems
            .iter()
            .find(|problem| problem.host == host && fits(problem))
    }

    /// Whether a request failed less than [`RETRY_PAUSE`] ago.
    fn is_pausing(&self) -> bool {
        self.unanswered
            .as_ref()
            .is_some_and(|(_, at)| Instant::now() < *at + RETRY_PAUSE)
    }
}

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;
