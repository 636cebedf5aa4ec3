use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use hearth_domain::sha256_hex;
use hearth_runtime::{blocking, create_whole};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use super::{client::Client, token::new_token};
use crate::error::CallError;

const MAX_BYTES: u64 = 4096;
/// Shorter ones could be guessed.
const MIN_TOKEN_BYTES: usize = 32;

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminTokenError {
    #[error("{}: {cause}", path.display())]
    File {
        path: PathBuf,
        /// In the message, and no source of this error: it would be told twice.
        cause: io::Error,
    },
    #[error(
        "{} has to hold one token of at least {MIN_TOKEN_BYTES} letters, digits and signs; without the file one is made",
        .0.display()
    )]
    NoToken(PathBuf),
    #[error("{0}")]
    Made(CallError),
}

/// The token in `--admin-token-file`: that of a client which may do everything. It is read again when it changes.
pub(super) struct AdminToken {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    client: Arc<Client>,
    /// Whether the newest reading failed: it is told once.
    is_failing: bool,
}

impl AdminToken {
    /// Reads the file. Makes it where it does not exist, with the mode 0600.
    pub(super) async fn load(path: PathBuf) -> Result<Self, AdminTokenError> {
        let file = path.clone();
        let read = blocking(move || {
            make(&file)?;
            if std::fs::metadata(&file).is_ok_and(|facts| facts.permissions().mode() & 0o007 != 0) {
                tracing::warn!(file = %file.display(), "every user of this machine can read the admin token; chmod 600");
            }
            read(&file)
        });
        let client = client(&read.await?);
        Ok(Self {
            path,
            state: Mutex::new(State {
                client: Arc::new(client),
                is_failing: false,
            }),
        })
    }

    /// Its client, if its token has this digest.
    pub(super) fn of_digest(&self, digest: &str) -> Option<Arc<Client>> {
        let client = &self.state.lock().client;
        client.is_of(digest).then(|| client.clone())
    }

    /// Reads the file again. Where it cannot be used the token before stays valid.
    pub(super) async fn keep(&self) {
        let file = self.path.clone();
        let read = blocking(move || read(&file)).await;
        let mut state = self.state.lock();
        match read {
            Ok(token) => {
                state.is_failing = false;
                if !state.client.is_of(&sha256_hex(token.expose_secret())) {
                    tracing::info!(file = %self.path.display(), "the token of --admin-token-file has changed");
                    state.client.ended().cancel();
                    state.client = Arc::new(client(&token));
                }
            }
            Err(error) if !state.is_failing => {
                state.is_failing = true;
                tracing::warn!(%error, "the token of --admin-token-file cannot be read again; the one before stays valid");
            }
            Err(_) => {}
        }
    }
}

fn make(path: &Path) -> Result<(), AdminTokenError> {
    let failed = |cause| AdminTokenError::File {
        path: path.to_owned(),
        cause,
    };
    if path.try_exists().map_err(failed)? {
        return Ok(());
    }
    let token = new_token().map_err(AdminTokenError::Made)?;
    let line = SecretString::from(format!("{}\n", token.expose_secret()));
    create_whole(path, line.expose_secret().as_bytes(), 0o600).map_err(failed)
}

fn read(path: &Path) -> Result<SecretString, AdminTokenError> {
    let failed = |cause| AdminTokenError::File {
        path: path.to_owned(),
        cause,
    };
    let no_token = || AdminTokenError::NoToken(path.to_owned());
    let facts = std::fs::metadata(path).map_err(failed)?;
    if !facts.is_file() || facts.len() > MAX_BYTES {
        return Err(no_token());
    }
    let text: SecretString = std::fs::read_to_string(path).map_err(failed)?.into();
    let token = text.expose_secret().trim();
    if token.len() < MIN_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_token());
    }
    Ok(token.into())
}

fn client(token: &SecretString) -> Client {
    Client::admin(sha256_hex(token.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_holds_one_long_token() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("token");
        make(&path).expect("a file");
        let made = read(&path).expect("a token");
        make(&path).expect("it is there");
        let again = read(&path).expect("a token");
        assert_eq!(made.expose_secret(), again.expose_secret());
        let own = "x".repeat(MIN_TOKEN_BYTES);
        std::fs::write(&path, format!(" {own}\r\n")).expect("a file");
        assert_eq!(read(&path).expect("a token").expose_secret(), own);
        for bad in [
            "",
            "\n",
            &own[1..],
            &format!("{own} {own}"),
            &format!("{own}\n{own}"),
            &"ä".repeat(40),
            &"x".repeat(5000),
        ] {
            std::fs::write(&path, bad).expect("a file");
            let error = read(&path).map(|_| ()).expect_err("no token").to_string();
            assert!(error.contains("token has to hold one token"), "{error}");
            assert!(!error.contains(&own), "{error}");
        }
        std::fs::remove_file(&path).expect("a file");
        std::fs::create_dir(&path).expect("a folder");
        assert!(read(&path).is_err() && read(&path.join("x")).is_err());
    }
}
