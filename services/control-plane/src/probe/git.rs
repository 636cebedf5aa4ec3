use std::time::Duration;

use hearth_api::v1::{AccessCheck, AccessCheckKind, AccessCheckStatus as Status};
use hearth_domain::{Repository, text::innermost_cause};
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;

use super::findings::check;
use crate::credentials::Login;

const LIMIT: Duration = Duration::from_secs(10);
const KIND: AccessCheckKind = AccessCheckKind::GitRead;

/// What the git host says.
pub(super) enum Read {
    /// All that there is to say.
    Done(AccessCheck),
    /// It does not accept the login.
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
        let message =
            format!("{url} is read with the node's own means, which the control plane cannot try");
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
    let http = reqwest::Client::builder().timeout(LIMIT).build()?;
    let mut request = http.get(format!("{url}.git/info/refs?service=git-upload-pack"));
    if let Some(login) = login {
        request = request.basic_auth(&login.username, Some(login.password.expose_secret()));
    }
    Ok(request.send().await?.status())
}

/// Git hosts say "not found" of what the caller may not know of.
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
