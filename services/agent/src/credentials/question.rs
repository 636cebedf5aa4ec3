use std::{fmt::Write as _, time::UNIX_EPOCH};

use hearth_domain::Repository;
use secrecy::{ExposeSecret as _, SecretString};

use super::Logins;

/// Who may ask at a socket, and for what.
#[derive(Clone, Debug)]
pub enum Asker {
    /// Git in a workspace, for the workspace's own repository.
    Git(GitRemote),
    /// Docker and what belongs to it on the node, for the cache's registry.
    Docker,
}

/// A repository as git names it when it asks for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRemote {
    protocol: &'static str,
    host: String,
    path: String,
    any_case: bool,
}

impl Asker {
    /// What is printed for a question; nothing to whoever asks for something else.
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

impl GitRemote {
    /// `None` for a repository that is reached without passwords.
    pub fn of(repository: &Repository) -> Option<Self> {
        let url = repository.clone_url();
        let protocol = ["https", "http"]
            .into_iter()
            .find(|protocol| url.split("://").next() == Some(protocol))?;
        Some(Self {
            protocol,
            host: repository.host_port(),
            path: repository.path().to_owned(),
            any_case: repository.is_github(),
        })
    }

    /// Scheme and host, as git's configuration names them.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.protocol, self.host)
    }

    /// URLs of the repository, each with all that is below it.
    pub fn urls(&self) -> [String; 2] {
        let url = format!("{}/{}", self.origin(), self.path);
        [format!("{url}.git"), url]
    }

    /// Whether git's question is about this repository.
    fn is_meant(&self, attributes: &str) -> bool {
        let value = |name| attribute(attributes, name).unwrap_or_default();
        let default_port = if self.protocol == "https" {
            ":443"
        } else {
            ":80"
        };
        let host = value("host").to_ascii_lowercase();
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        let path = own_path(value("path"));
        let same_path = if self.any_case {
            path.eq_ignore_ascii_case(&self.path)
        } else {
            path == self.path
        };
        value("protocol") == self.protocol && host == self.host && same_path
    }
}

/// The repository of a path: without `.git`, and without what Git LFS puts behind it.
fn own_path(path: &str) -> &str {
    let path = path.trim_matches('/');
    let path = path
        .find("/info/lfs")
        .filter(|at| matches!(path.as_bytes().get(at + 9), None | Some(b'/')))
        .map_or(path, |at| &path[..at]);
    path.strip_suffix(".git").unwrap_or(path)
}

/// The last value of an attribute, as git reads them.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
