use std::{path::Path, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::{CredentialProblem, CredentialProblemReason as Reason};
use hearth_domain::{Login, sha256_hex, text::without_mark};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{fs::File, io::AsyncReadExt as _};

use super::{
    ask::{Logins, Rights, problem},
    settings::{Account, StaticSettings},
    source::{Source, Want},
};

/// Longer than any token.
const MAX_BYTES: u64 = 64 * 1024;
/// A network file system that hangs must not block a workspace.
const READ: Duration = Duration::from_secs(5);

/// Users and passwords that are the same for every repository: one for git hosts and for who may write to registries, and
/// another one, if there is one, for who may only read there. Who may only read is never given the first one for a registry.
/// Passwords are read at every use, so that rotating one only needs a write to its file.
pub(super) struct FixedLogin(StaticSettings);

impl FixedLogin {
    pub(super) fn new(settings: StaticSettings) -> Self {
        Self(settings)
    }
}

#[async_trait]
impl Source for FixedLogin {
    fn serves(&self, host: &str) -> bool {
        self.0.hosts.iter().any(|served| served == host)
    }

    fn lets_read(&self) -> bool {
        self.0.reader.is_some()
    }

    async fn logins(&self, want: &Want<'_>) -> Logins {
        let of_registry = match want.rights {
            Rights::Write => Some(&self.0.account),
            Rights::Read | Rights::Workspace => self.0.reader.as_ref(),
        };
        let mut logins = Logins::default();
        let refused = want.refused_sha256;
        if let Some(host) = want.git {
            logins.git = login(&self.0.account, host, refused, &mut logins.problems).await;
        }
        if let (Some(host), Some(account)) = (want.registry, of_registry) {
            logins.registry = login(account, host, refused, &mut logins.problems).await;
        }
        logins
    }
}

/// The login of an account, unless its password was refused.
async fn login(
    account: &Account,
    host: &str,
    refused_sha256: &str,
    problems: &mut Vec<CredentialProblem>,
) -> Option<Login> {
    let set_by = &account.set_by;
    let (reason, message) = match read(&account.password_file).await {
        Ok(password) if sha256_hex(password.expose_secret()) == refused_sha256 => (
            Reason::Forbidden,
            format!("the password in the file that {set_by} names was refused by a host"),
        ),
        Ok(password) => {
            return Some(Login {
                host: host.to_owned(),
                username: account.username.clone(),
                password,
                expires: None,
            });
        }
        Err(why) => (
            Reason::Unreadable,
            format!("the password in the file that {set_by} names cannot be used: {why}"),
        ),
    };
    tracing::warn!(reason = reason.as_str_name(), "{message}");
    problems.push(problem(host, reason, message));
    None
}

/// The password without the line break, or the fault, which never contains the file's content.
async fn read(path: &Path) -> Result<SecretString, String> {
    let content = async {
        let mut bytes = Vec::new();
        let file = File::open(path).await?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = match tokio::time::timeout(READ, content).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(error.kind().to_string()),
        Err(_) => return Err(format!("not read within {} seconds", READ.as_secs())),
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is longer than 64 KiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let text = without_mark(&text);
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("it is empty".to_owned());
    }
    // In the protocols of logins a line break would begin another field.
    if line.contains(char::is_control) {
        return Err("it has more than one line".to_owned());
    }
    Ok(SecretString::from(line))
}

#[cfg(test)]
#[path = "fixed_tests.rs"]
mod tests;
