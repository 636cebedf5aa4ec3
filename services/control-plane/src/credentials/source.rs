use async_trait::async_trait;
use hearth_domain::Repository;

use super::ask::{Logins, Rights};

/// A source of logins.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// Whether it issues logins for `host[:port]`.
    fn serves(&self, host: &str) -> bool;

    /// Whether it has logins for registries for who may only read there.
    fn lets_read(&self) -> bool {
        true
    }

    /// Logins for hosts that it serves. Those that it cannot issue are left out and reported as problems. It answers within
    /// seconds.
    async fn logins(&self, want: &Want<'_>) -> Logins;

    /// Seconds by which its clock is ahead of ours, from its newest answer. `None`: it has no clock, or has not answered.
    fn clock_skew_seconds(&self) -> Option<i64> {
        None
    }
}

/// The logins that a source is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'a> {
    /// The repository to give access to. `None`: it is not known.
    pub(super) repository: Option<&'a Repository>,
    /// `host[:port]` of the git host, if its login is wanted.
    pub(super) git: Option<&'a str>,
    /// `host[:port]` of the registry, if its login is wanted.
    pub(super) registry: Option<&'a str>,
    pub(super) rights: Rights,
    /// See [`super::ask::Ask`].
    pub(super) refused_sha256: &'a str,
}

impl<'a> Want<'a> {
    /// The same without the registry.
    pub(super) fn of_git(&self) -> Self {
        Self {
            registry: None,
            ..*self
        }
    }

    /// The same without the git host.
    pub(super) fn of_registry(&self) -> Self {
        Self { git: None, ..*self }
    }

    /// The hosts that logins are wanted for.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &'a str> {
        self.git.into_iter().chain(self.registry)
    }
}
