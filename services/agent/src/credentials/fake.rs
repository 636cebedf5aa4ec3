//! A control plane for tests: it answers as it is told to, and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use hearth_api::v1::{
    AttemptRef, CredentialProblem, CredentialProblemReason, CredentialUse, GitCredential,
    RefreshCredentialsResponse, RegistryCredential,
};

use crate::external::control_plane::{CredentialFailure, Credentials};

/// How one question is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    Logins(Box<RefreshCredentialsResponse>),
    Failure,
    Silence,
}

/// Answers questions one after the other; one more than it was told to answer is a mistake.
#[derive(Default)]
pub(crate) struct FakeCredentials {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<(CredentialUse, String)>>,
}

impl FakeCredentials {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        })
    }

    pub(crate) fn then(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// The refused passwords that were named, one for each question.
    pub(crate) fn refused(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, refused)| refused.clone()).collect()
    }

    pub(crate) fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Credentials for FakeCredentials {
    async fn refresh(
        &self,
        for_whom: &AttemptRef,
        purpose: CredentialUse,
        refused_sha256: &str,
    ) -> Result<RefreshCredentialsResponse, CredentialFailure> {
        assert_eq!(for_whom, &attempt());
        self.asked
            .lock()
            .unwrap()
            .push((purpose, refused_sha256.to_owned()));
        // Whoever else wants to ask gets the chance to.
        tokio::task::yield_now().await;
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.expect("a question that was expected") {
            Answer::Logins(logins) => Ok(*logins),
            Answer::Failure => Err(CredentialFailure("unavailable".to_owned())),
            Answer::Silence => std::future::pending().await,
        }
    }
}

pub(crate) fn attempt() -> AttemptRef {
    AttemptRef {
        workspace_id: "ws-1".to_owned(),
        attempt: 1,
    }
}

/// Logins for git.example and registry.example with this password, which live for so many seconds.
pub(crate) fn logins(password: &str, seconds: Option<u64>) -> Answer {
    let expire_time =
        seconds.map(|seconds| (SystemTime::now() + Duration::from_secs(seconds)).into());
    Answer::Logins(Box::new(RefreshCredentialsResponse {
        git: Some(GitCredential {
            host: "git.example".to_owned(),
            username: "x-access-token".to_owned(),
            password: password.to_owned(),
            expire_time,
        }),
        registry: Some(RegistryCredential {
            registry: "registry.example".to_owned(),
            username: "x-access-token".to_owned(),
            password: password.to_owned(),
            expire_time,
        }),
        problems: Vec::new(),
    }))
}

/// The same, with a problem at a host.
pub(crate) fn with_problem(answer: Answer, host: &str, reason: CredentialProblemReason) -> Answer {
    let Answer::Logins(mut logins) = answer else {
        return answer;
    };
    logins.problems.push(CredentialProblem {
        host: host.to_owned(),
        reason: reason.into(),
        message: format!("what to do about {host}"),
    });
    Answer::Logins(logins)
}

pub(crate) fn no_logins() -> Answer {
    Answer::Logins(Box::default())
}
