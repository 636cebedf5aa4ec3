use std::time::SystemTime;

use secrecy::SecretString;

/// A user name and a password for one host. `Debug` prints the password redacted.
#[derive(Clone, Debug)]
pub struct Login {
    /// `host[:port]` of the git host or registry that it is for.
    pub host: String,
    /// The user name; a GitHub App's token goes with any.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
    /// When it ends; `None`: it is not known to end.
    pub expires: Option<SystemTime>,
}
