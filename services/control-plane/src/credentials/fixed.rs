use std::{path::Path, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::CredentialProblemReason as Reason;
use hearth_domain::{Login, sha256_hex, text::without_mark};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{fs::File, io::AsyncReadExt as _};

use super::{
    ask::{Logins, problem},
    settings::StaticSettings,
    source::{Source, Want},
};

/// Longer than any token.
const MAX_BYTES: u64 = 64 * 1024;
/// A network file system that hangs must not block a workspace.
const READ: Duration = Duration::from_secs(5);

/// One user and password, the same for every repository. The password is read at every use, so that
/// rotating it only needs a write to the file.
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

    async fn logins(&self, want: &Want<'_>) -> Logins {
        let set_by = &self.0.set_by;
        let (reason, message) = match read(&self.0.password_file).await {
            Ok(password) if sha256_hex(password.expose_secret()) == want.refused_sha256 => (
                Reason::Forbidden,
                format!("the password in the file that {set_by} names was refused by a host"),
            ),
            Ok(password) => {
                let login = |host: &str| Login {
                    host: host.to_owned(),
                    username: self.0.username.clone(),
                    password: password.clone(),
                    expires: None,
                };
                return Logins {
                    git: want.git.map(login),
                    registry: want.registry.map(login),
                    problems: Vec::new(),
                };
            }
            Err(why) => (
                Reason::Unreadable,
                format!("the password in the file that {set_by} names cannot be used: {why}"),
            ),
        };
        tracing::warn!(reason = reason.as_str_name(), "{message}");
        Logins {
            problems: want
                .hosts()
                .map(|host| problem(host, reason, message.clone()))
                .collect(),
            ..Logins::default()
        }
    }
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
