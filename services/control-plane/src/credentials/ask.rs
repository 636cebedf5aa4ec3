use std::time::SystemTime;

use hearth_api::v1::{CredentialProblem, CredentialProblemReason as Reason};
use hearth_domain::Repository;
use secrecy::SecretString;

/// Who asks for logins, and what for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) repository: &'a Repository,
    /// `host[:port]` of the cache's registry; `None`: its login is left out.
    pub(crate) registry: Option<&'a str>,
    pub(crate) rights: Rights,
    /// SHA-256 in hex of a password that a host refused before its time; empty: none was.
    pub(crate) refused_sha256: &'a str,
}

/// What logins are to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rights {
    /// Read the repository at its git host; nothing at the registry.
    Workspace,
    /// Read both.
    Read,
    /// Read the repository, read and write the cache.
    Write,
}

/// What could be had, and what could not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    pub(crate) git: Option<Login>,
    pub(crate) registry: Option<Login>,
    pub(crate) problems: Vec<CredentialProblem>,
}

/// A login for one host. The password prints redacted.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// `host[:port]`.
    pub(crate) host: String,
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// `None`: it does not end by itself.
    pub(crate) expires: Option<SystemTime>,
}

pub(super) fn problem(host: &str, reason: Reason, message: impl Into<String>) -> CredentialProblem {
    CredentialProblem {
        host: host.to_owned(),
        reason: reason.into(),
        message: message.into(),
    }
}
