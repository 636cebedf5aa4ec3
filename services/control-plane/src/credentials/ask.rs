use hearth_api::v1::{CredentialProblem, CredentialProblemReason as Reason};
use hearth_domain::{Login, Repository};

/// A request for logins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) repository: &'a Repository,
    /// `host[:port]` of the cache's registry; `None`: its login is left out.
    pub(crate) registry: Option<&'a str>,
    pub(crate) rights: Rights,
    /// SHA-256, in hex, of a password that a host refused before it expired; empty: none was refused.
    pub(crate) refused_sha256: &'a str,
}

/// The rights of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rights {
    /// Read the repository at its git host; nothing at the registry.
    Workspace,
    /// Read both.
    Read,
    /// Read the repository, read and write the cache.
    Write,
}

/// The logins that were issued, and problems with those that were not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    pub(crate) git: Option<Login>,
    pub(crate) registry: Option<Login>,
    pub(crate) problems: Vec<CredentialProblem>,
}

pub(super) fn problem(host: &str, reason: Reason, message: impl Into<String>) -> CredentialProblem {
    CredentialProblem {
        host: host.to_owned(),
        reason: reason.into(),
        message: message.into(),
    }
}
