use async_trait::async_trait;
use hearth_domain::Repository;

use super::ask::{Logins, Rights};

/// Where logins come from. Another kind of source is another file with this in it.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// Whether it gives logins for `host[:port]`.
    fn serves(&self, host: &str) -> bool;

    /// Logins for what is wanted, for hosts that it serves. What it cannot give is left out and told as a problem; it
    /// answers within seconds.
    async fn logins(&self, want: &Want<'_>) -> Logins;

    /// Seconds by which its clock is ahead of ours, as last seen. `None`: it has none, or was not seen yet.
    fn clock_skew_seconds(&self) -> Option<i64> {
        None
    }
}

/// What a source is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'a> {
    /// What the logins are to be good for. `None`: it is not known.
    pub(super) repository: Option<&'a Repository>,
    /// `host[:port]` of the git host, where its login is wanted.
    pub(super) git: Option<&'a str>,
    /// `host[:port]` of the registry, where its login is wanted.
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
