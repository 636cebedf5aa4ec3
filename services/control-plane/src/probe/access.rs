use std::sync::Arc;

use hearth_api::v1::{
    AccessCheck, AccessCheckKind as Kind, AccessCheckStatus as Status, CacheAccess, CacheTarget,
    CredentialProblemReason, ProbeAccessResponse, WorkspaceSpec,
};
use hearth_domain::{Repository, sha256_hex};
use hearth_runtime::Tasks;
use secrecy::ExposeSecret as _;

use super::{
    findings::{check, clock, login, summary},
    git, registry,
};
use crate::{
    cache::{CacheRights, CacheRules, registry_host},
    credentials::{Ask, Credentials, Logins},
    detached::detached,
    error::CallError,
};

/// Tries what preparing a repository needs.
pub(crate) struct Probe {
    credentials: Arc<Credentials>,
    rules: Arc<CacheRules>,
    tasks: Tasks,
}

impl Probe {
    pub(crate) fn new(credentials: Arc<Credentials>, rules: Arc<CacheRules>, tasks: Tasks) -> Self {
        Self {
            credentials,
            rules,
            tasks,
        }
    }

    /// Makes logins, and tries what they allow.
    pub(crate) async fn probe(
        self: &Arc<Self>,
        repository: Repository,
        spec: WorkspaceSpec,
    ) -> Result<ProbeAccessResponse, CallError> {
        let probe = self.clone();
        // What was begun in a registry is cancelled there even if the client goes away.
        let work = async move {
            let logins = probe.logins(&repository, &spec, "").await;
            Ok(probe.with(&repository, &spec, logins).await)
        };
        detached(&self.tasks, "probe access", work).await
    }

    /// Tries everything that these logins are for, one thing after the other, and leaves nothing behind.
    pub(super) async fn with(
        &self,
        repository: &Repository,
        spec: &WorkspaceSpec,
        mut logins: Logins,
    ) -> ProbeAccessResponse {
        let target = self.rules.target(spec);
        let registry = CacheRights::of(spec, &self.rules).registry;
        let host = repository.host_port();
        let mut read = git::read(repository, logins.git.as_ref()).await;
        if let (git::Read::Refused(_), Some(login)) = (&read, &logins.git) {
            // It comes from a cache, and may have been revoked: an attempt would get another one too.
            let refused = sha256_hex(login.password.expose_secret());
            logins = self.logins(repository, spec, &refused).await;
            read = git::read(repository, logins.git.as_ref()).await;
        }
        let mut checks = login(&logins, &host, registry.as_deref());
        checks.push(clock(self.credentials.clock_skew_seconds(&host)));
        checks.push(read.check());
        match &target {
            Ok(target) => {
                let unwritable = unwritable(target, &logins);
                let login = logins.registry.as_ref();
                checks.extend(registry::rights(&target.repository, unwritable, login).await);
            }
            Err(_) => checks.extend([Kind::Pull, Kind::Push, Kind::Delete].map(|kind| {
                let why = "the configured registry does not cache for repositories of this host";
                check(kind, Status::Skipped, why)
            })),
        }
        ProbeAccessResponse {
            summary: summary(repository, target.as_ref().ok(), &checks),
            cache_repository: target.map(|target| target.repository).unwrap_or_default(),
            checks,
        }
    }

    async fn logins(
        &self,
        repository: &Repository,
        spec: &WorkspaceSpec,
        refused_sha256: &str,
    ) -> Logins {
        let cache = CacheRights::of(spec, &self.rules);
        let ask = Ask {
            repository,
            registry: cache.registry.as_deref(),
            rights: cache.rights,
            refused_sha256,
        };
        self.credentials.logins(&ask).await
    }
}

/// Why nothing can be pushed, where that is known without trying.
fn unwritable(target: &CacheTarget, logins: &Logins) -> Option<AccessCheck> {
    if target.access() != CacheAccess::ReadWrite {
        let why = "this ref may only read the cache: --cache-writers of the control plane decides";
        return Some(check(Kind::Push, Status::Skipped, why));
    }
    let registry = registry_host(&target.repository);
    let missing = logins.problems.iter().find(|problem| {
        problem.host == registry && problem.reason() == CredentialProblemReason::PermissionMissing
    });
    missing.map(|missing| check(Kind::Push, Status::Failed, missing.message.clone()))
}
