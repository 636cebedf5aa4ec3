use std::{fmt, sync::Arc};

use hearth_api::v1::CredentialProblemReason as Reason;
use hearth_domain::{Repository, is_loopback};
use hearth_runtime::{Metrics, Tasks};

use super::{
    ask::{Ask, Logins, Rights, problem},
    counters::Counters,
    fixed::FixedLogin,
    github::GitHubApp,
    settings::SourceSettings,
    source::{Source, Want},
};

/// The sources of logins, in order of precedence.
pub(crate) struct Credentials {
    sources: Vec<Arc<dyn Source>>,
    counters: Arc<Counters>,
}

impl Credentials {
    /// Sources whose work runs in `tasks`. Fails if TLS has no trusted roots.
    pub(crate) fn new(
        settings: Vec<SourceSettings>,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::register(metrics));
        let source = |settings| -> anyhow::Result<Arc<dyn Source>> {
            Ok(match settings {
                SourceSettings::Static(settings) => Arc::new(FixedLogin::new(settings)),
                SourceSettings::GitHubApp(settings) => {
                    Arc::new(GitHubApp::new(settings, tasks.clone(), counters.clone())?)
                }
            })
        };
        Ok(Self {
            sources: settings.into_iter().map(source).collect::<Result<_, _>>()?,
            counters,
        })
    }

    /// Logins for a repository's git host and the cache's registry. A login that cannot be issued is left out and reported
    /// as a problem; hosts that no source serves are left out.
    pub(crate) async fn logins(&self, ask: &Ask<'_>) -> Logins {
        let host = ask.repository.host_port();
        let registry = ask.registry.filter(|_| match ask.rights {
            Rights::Workspace => false,
            Rights::Read | Rights::Write => true,
        });
        let in_the_clear = self.source_of(&host).is_some() && is_in_the_clear(ask.repository);
        let git = Some(host.as_str()).filter(|_| !in_the_clear);
        let want = Want {
            repository: Some(ask.repository),
            git,
            registry,
            rights: ask.rights,
            refused_sha256: ask.refused_sha256,
        };
        let mut logins = self.of_sources(&want).await;
        if in_the_clear {
            logins.problems.push(problem(
                &host,
                Reason::Forbidden,
                format!(
                    "no login is sent to {host} unencrypted: write the repository as https://{}",
                    ask.repository
                ),
            ));
        }
        self.counters.answered(&logins.problems);
        logins
    }

    /// A login for the registry of a cache whose repository is not known, from sources that do not need it.
    pub(crate) async fn registry_login(&self, registry: &str, rights: Rights) -> Logins {
        let want = Want {
            repository: None,
            git: None,
            registry: Some(registry),
            rights,
            refused_sha256: "",
        };
        let logins = self.of_sources(&want).await;
        self.counters.answered(&logins.problems);
        logins
    }

    /// Seconds by which the clock of a git host's source is ahead (+) or behind (-), from its newest answer. `None`: it has
    /// no clock, or has not answered yet.
    pub(crate) fn clock_skew_seconds(&self, git_host: &str) -> Option<i64> {
        self.source_of(git_host)?.clock_skew_seconds()
    }

    /// Whether the source of a registry has a login for who may only read there; true where no source serves it.
    pub(crate) fn lets_read(&self, registry: &str) -> bool {
        self.source_of(registry)
            .is_none_or(|source| source.lets_read())
    }

    async fn of_sources(&self, want: &Want<'_>) -> Logins {
        let git = want.git.and_then(|host| self.source_of(host));
        let registry = want.registry.and_then(|host| self.source_of(host));
        match (git, registry) {
            (None, None) => Logins::default(),
            (Some(git), Some(registry)) if !Arc::ptr_eq(git, registry) => {
                let (of_git, of_registry) = (want.of_git(), want.of_registry());
                let (git, registry) =
                    tokio::join!(git.logins(&of_git), registry.logins(&of_registry));
                let mut problems = git.problems;
                problems.extend(registry.problems);
                Logins {
                    git: git.git,
                    registry: registry.registry,
                    problems,
                }
            }
            (Some(source), Some(_)) => source.logins(want).await,
            (Some(source), None) => source.logins(&want.of_git()).await,
            (None, Some(source)) => source.logins(&want.of_registry()).await,
        }
    }

    fn source_of(&self, host: &str) -> Option<&Arc<dyn Source>> {
        self.sources.iter().find(|source| source.serves(host))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

/// Whether git would send a password to the repository's host unencrypted over a network.
fn is_in_the_clear(repository: &Repository) -> bool {
    repository.clone_url().starts_with("http://") && !is_loopback(&repository.host_port())
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
