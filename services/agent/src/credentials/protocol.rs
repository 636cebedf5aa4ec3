use std::{fmt::Write as _, time::UNIX_EPOCH};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    git_remote::{GitRemote, attribute},
    logins::Logins,
};

/// The protocol that is spoken at a socket, and what it gives out.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// Git in a workspace, for the workspace's own repository.
    Git(GitRemote),
    /// Docker and what belongs to it on the node, for the cache's registry.
    Docker,
}

impl Protocol {
    /// The answer to a question; `None` for a question about anything else.
    ///
    /// The first line says who asks for what; the others are git's (gitcredentials(7)) or Docker's.
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
    // Git since 2.41 then does not let other helpers keep it for longer; older ones ignore it.
    let expires = login
        .expires
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    if let Some(at) = expires {
        let _ = writeln!(answer, "password_expiry_utc={}", at.as_secs());
    }
    Some(answer)
}

/// A host refused a password: if it is the one that was given out, there will be another one.
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
