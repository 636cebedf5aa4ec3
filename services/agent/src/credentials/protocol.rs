use std::{fmt::Write as _, time::UNIX_EPOCH};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    git_remote::{GitRemote, attribute},
    logins::Logins,
};

/// The protocol of a socket, and the login that it gives out.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// Git's, for the workspace's repository.
    Git(GitRemote),
    /// Docker's, for the cache's registry.
    Docker,
}

impl Protocol {
    /// The answer to a request; `None` for a request for anything else.
    ///
    /// The first line of a request is its kind, which the credential helper writes; the rest is git's (gitcredentials(7))
    /// or Docker's.
    pub async fn answer(&self, logins: &Logins, question: &str) -> Option<String> {
        let (first_line, rest) = question.split_once('\n')?;
        match (self, first_line) {
            (Self::Git(remote), "git get") if remote.is_meant(rest) => {
                git_get(logins, &remote.host).await
            }
            (Self::Git(remote), "git erase") if remote.is_meant(rest) => {
                if let Some(password) = attribute(rest, "password") {
                    forget(logins, &SecretString::from(password)).await;
                }
                None
            }
            (Self::Docker, "docker get") => docker_get(logins, rest.trim()).await,
            _ => None,
        }
    }
}

async fn git_get(logins: &Logins, host: &str) -> Option<String> {
    let login = logins.git().await.filter(|login| login.host == host)?;
    let password = login.password.expose_secret();
    // A line break would begin another attribute.
    if [&login.username, password]
        .iter()
        .any(|text| text.contains(char::is_control))
    {
        return None;
    }
    let mut answer = format!("username={}\npassword={password}\n", login.username);
    // Git since 2.41 lets no other helper keep the login for longer; older ones ignore the attribute.
    let expires = login
        .expires
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    if let Some(at) = expires {
        let _ = writeln!(answer, "password_expiry_utc={}", at.as_secs());
    }
    Some(answer)
}

/// Git reports a refused password: if it is that of the current login, another login is requested.
async fn forget(logins: &Logins, password: &SecretString) {
    if let Some(login) = logins.git().await
        && login.password.expose_secret() == password.expose_secret()
    {
        logins.git_instead_of(password).await;
    }
}

async fn docker_get(logins: &Logins, server: &str) -> Option<String> {
    let host = server
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let login = logins.for_image(host).await?;
    let answer = serde_json::json!({
        "ServerURL": server,
        "Username": login.username,
        "Secret": login.password.expose_secret(),
    });
    Some(answer.to_string())
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
