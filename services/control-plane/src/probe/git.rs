use std::time::Duration;

use hearth_api::v1::{AccessCheck, AccessCheckKind, AccessCheckStatus as Status};
use hearth_domain::{Login, Repository, text::innermost_cause};
use reqwest::{
    StatusCode, Url,
    redirect::{Action, Attempt, Policy},
};
use secrecy::ExposeSecret as _;

use super::findings::check;

const LIMIT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 10;
const KIND: AccessCheckKind = AccessCheckKind::GitRead;

/// The git host's answer.
pub(super) enum Read {
    /// The result.
    Done(AccessCheck),
    /// It does not accept the login, with the message.
    Refused(String),
}

impl Read {
    pub(super) fn check(self) -> AccessCheck {
        match self {
            Self::Done(check) => check,
            Self::Refused(message) => check(KIND, Status::Failed, message),
        }
    }
}

/// Asks for the repository's refs as git does (gitprotocol-http, "Smart Clients").
pub(super) async fn read(repository: &Repository, login: Option<&Login>) -> Read {
    let url = repository.clone_url();
    if !url.starts_with("http") {
        let message = format!(
            "{url} is not read over HTTP: the node's own git configuration and keys apply, which the control plane cannot check"
        );
        return Read::Done(check(KIND, Status::Skipped, message));
    }
    let answer = refs(&url, login).await;
    Read::Done(match answer {
        Ok(StatusCode::OK) => check(KIND, Status::Ok, format!("{url} is read")),
        Ok(status @ StatusCode::UNAUTHORIZED) if login.is_some() => {
            return Read::Refused(refusal(&url, status, login));
        }
        Ok(status) => check(KIND, Status::Failed, refusal(&url, status, login)),
        Err(error) => {
            let why = innermost_cause(&error);
            let message = format!("{} does not answer: {why}", repository.host_port());
            check(KIND, Status::Failed, message)
        }
    })
}

async fn refs(url: &str, login: Option<&Login>) -> Result<StatusCode, reqwest::Error> {
    let http = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(Policy::custom(one_host_further))
        .build()?;
    let mut request = http.get(format!("{url}.git/info/refs?service=git-upload-pack"));
    if let Some(login) = login {
        request = request.basic_auth(&login.username, Some(login.password.expose_secret()));
    }
    Ok(request.send().await?.status())
}

/// Redirects are followed until one leads on from another host: reqwest leaves the login out of the first request to that
/// host, and not of those after it.
fn one_host_further(attempt: Attempt<'_>) -> Action {
    let home = attempt.previous().first().map(Url::origin);
    let mut before = attempt.previous().iter();
    let has_left = before.any(|url| Some(url.origin()) != home);
    match has_left || attempt.previous().len() > MAX_REDIRECTS {
        true => attempt.stop(),
        false => attempt.follow(),
    }
}

/// Git hosts answer "not found" for private repositories, too.
fn refusal(url: &str, status: StatusCode, login: Option<&Login>) -> String {
    match (status.as_u16(), login) {
        (401 | 403 | 404, None) => format!(
            "{url} is private or does not exist (status {status}), and there is no login for it"
        ),
        (401 | 403, Some(_)) => format!("{url} does not accept its login (status {status})"),
        (404, Some(_)) => format!(
            "{url} does not exist, or the login may not read it (status {status}): a GitHub App needs `contents: read` on it"
        ),
        _ => format!("{url} answers with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{any, path},
    };

    use super::*;

    #[tokio::test]
    async fn a_login_is_not_sent_on_by_another_host() {
        let (home, other) = (MockServer::start().await, MockServer::start().await);
        let moved = |to: &str| ResponseTemplate::new(307).insert_header("Location", to);
        Mock::given(any())
            .respond_with(moved(&format!("{}/one", other.uri())))
            .mount(&home)
            .await;
        Mock::given(path("/one"))
            .respond_with(moved("/two"))
            .mount(&other)
            .await;
        let login = Login {
            host: home.address().to_string(),
            username: "bob".to_owned(),
            password: "secret".to_owned().into(),
            expires: None,
        };
        let status = refs(&format!("{}/a/b", home.uri()), Some(&login))
            .await
            .expect("an answer");
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
        for request in other.received_requests().await.expect("they are noted") {
            assert!(
                !request.headers.contains_key("authorization"),
                "{request:?}"
            );
        }
        let first = &home.received_requests().await.expect("they are noted")[0];
        assert!(first.headers.contains_key("authorization"));
    }
}
