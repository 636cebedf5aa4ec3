//! A control plane for tests: it gives prepared answers, and records the requests.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use hearth_domain::{AttemptRef, Login};
use parking_lot::Mutex;

use crate::external::control_plane::{
    CredentialFailure, Credentials, IssuedLogins, IssuedSecrets, LoginProblem, LoginPurpose,
};

/// How one question is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    Logins(Box<IssuedLogins>),
    Failure,
    Silence,
}

/// Gives its answers in order; a request without a prepared answer panics.
#[derive(Default)]
pub(crate) struct FakeCredentials {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<(LoginPurpose, String)>>,
}

impl FakeCredentials {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        })
    }

    pub(crate) fn then(&self, answer: Answer) {
        self.answers.lock().push_back(answer);
    }

    /// The refused passwords that were named, one for each question.
    pub(crate) fn refused(&self) -> Vec<String> {
        let asked = self.asked.lock();
        asked.iter().map(|(_, refused)| refused.clone()).collect()
    }

    pub(crate) fn questions(&self) -> usize {
        self.asked.lock().len()
    }
}

#[async_trait]
impl Credentials for FakeCredentials {
    async fn refresh(
        &self,
        for_whom: &AttemptRef,
        purpose: LoginPurpose,
        refused_sha256: Option<&str>,
    ) -> Result<IssuedLogins, CredentialFailure> {
        assert_eq!(for_whom, &attempt());
        self.asked
            .lock()
            .push((purpose, refused_sha256.unwrap_or_default().to_owned()));
        // Other callers get the chance to ask at the same time.
        tokio::task::yield_now().await;
        let answer = self.answers.lock().pop_front();
        match answer.expect("a question that was expected") {
            Answer::Logins(logins) => Ok(*logins),
            Answer::Failure => Err(CredentialFailure("unavailable".to_owned())),
            Answer::Silence => std::future::pending().await,
        }
    }

    async fn secrets(&self, _: &AttemptRef) -> Result<IssuedSecrets, CredentialFailure> {
        Ok(IssuedSecrets::default())
    }
}

pub(crate) fn attempt() -> AttemptRef {
    AttemptRef {
        workspace: "ws-1".parse().unwrap(),
        number: 1,
    }
}

/// Logins for git.example and registry.example with this password, which expire after so many seconds.
pub(crate) fn logins(password: &str, seconds: Option<u64>) -> Answer {
    let login = |host: &str| Login {
        host: host.to_owned(),
        username: "x-access-token".to_owned(),
        password: password.to_owned().into(),
        expires: seconds.map(|seconds| SystemTime::now() + Duration::from_secs(seconds)),
    };
    Answer::Logins(Box::new(IssuedLogins {
        git: Some(login("git.example")),
        registry: Some(login("registry.example")),
        problems: Vec::new(),
    }))
}

/// The same, with a problem at a host.
pub(crate) fn with_problem(answer: Answer, host: &str, permission_missing: bool) -> Answer {
    let Answer::Logins(mut logins) = answer else {
        return answer;
    };
    logins.problems.push(LoginProblem {
        host: host.to_owned(),
        permission_missing,
        message: format!("what to do about {host}"),
    });
    Answer::Logins(logins)
}

pub(crate) fn no_logins() -> Answer {
    Answer::Logins(Box::default())
}
