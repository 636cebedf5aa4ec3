use std::sync::Arc;

use hearth_api::v1::{
    AccessCheck, AccessCheckKind as Kind, AccessCheckStatus as Status, CredentialProblemReason,
    ProbeAccessResponse,
};
use hearth_domain::{Spec, sha256_hex};
use hearth_runtime::Tasks;
use secrecy::ExposeSecret as _;

use super::{
    findings::{check, clock, login, summary},
    git, registry,
};
use crate::{
    cache::{CacheRules, CacheUse},
    credentials::{Ask, Credentials, Logins, Rights},
    detached::detached,
    error::CallError,
};

/// Checks the access that preparing a repository needs.
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

    /// Gets logins and checks what they allow.
    pub(crate) async fn probe(
        self: &Arc<Self>,
        spec: Spec,
    ) -> Result<ProbeAccessResponse, CallError> {
        let probe = self.clone();
        // An upload that was begun in a registry is cancelled there even if the call is cancelled.
        let work = async move {
            let logins = probe.logins(&spec, "").await;
            Ok(probe.with(&spec, logins).await)
        };
        detached(&self.tasks, "probe access", work).await
    }

    /// Checks what these logins allow, in sequence, and leaves nothing behind.
    pub(super) async fn with(&self, spec: &Spec, mut logins: Logins) -> ProbeAccessResponse {
        let repository = &spec.repository;
        let cache = self.rules.cache_use(spec).ok();
        let registry = cache.as_ref().map(CacheUse::registry_host);
        let host = repository.host_port();
        let mut read = git::read(repository, logins.git.as_ref()).await;
        if let (git::Read::Refused(_), Some(login)) = (&read, &logins.git) {
            // A cached login may have been revoked. An attempt would get another one, too.
            let refused = sha256_hex(login.password.expose_secret());
            logins = self.logins(spec, &refused).await;
            read = git::read(repository, logins.git.as_ref()).await;
        }
        let mut checks = login(&logins, &host, registry);
        if let Some(cache) = cache.as_ref()
            && !self.credentials.lets_read(cache.registry_host())
        {
            no_reader(&mut checks, cache);
        }
        checks.push(clock(self.credentials.clock_skew_seconds(&host)));
        checks.push(read.check());
        match &cache {
            Some(cache) => {
                let unwritable = unwritable(cache, &logins);
                let login = logins.registry.as_ref();
                let repository = cache.reference.repository().as_str();
                checks.extend(registry::rights(repository, unwritable, login).await);
            }
            None => checks.extend([Kind::Pull, Kind::Push, Kind::Delete].map(|kind| {
                let why = "the configured registry does not cache for repositories of this host";
                check(kind, Status::Skipped, why)
            })),
        }
        ProbeAccessResponse {
            summary: summary(repository, cache.as_ref(), &checks),
            cache_repository: cache
                .map(|cache| cache.reference.repository().to_string())
                .unwrap_or_default(),
            checks,
        }
    }

    async fn logins(&self, spec: &Spec, refused_sha256: &str) -> Logins {
        let cache = self.rules.cache_use(spec).ok();
        let ask = Ask {
            repository: &spec.repository,
            registry: cache.as_ref().map(CacheUse::registry_host),
            rights: cache.as_ref().map_or(Rights::Read, CacheUse::rights),
            refused_sha256,
        };
        self.credentials.logins(&ask).await
    }
}

/// Tells that attempts which may only read have no login for the registry, before one of them builds everything.
fn no_reader(checks: &mut Vec<AccessCheck>, cache: &CacheUse) {
    let registry = cache.registry_host();
    let why = format!(
        "attempts at refs that may only read the cache have no login for {registry}; unless it lets everybody read, give them one with --static-read-username and --static-read-password-file"
    );
    if !cache.writable {
        checks.push(check(Kind::Login, Status::Warning, why));
    } else if let Some(login) = checks.iter_mut().find(|one| one.status() == Status::Ok) {
        login.message = format!("{}; {why}", login.message);
    }
}

/// Why nothing can be pushed, if that is known without trying.
fn unwritable(cache: &CacheUse, logins: &Logins) -> Option<AccessCheck> {
    if !cache.writable {
        let why = "this ref may only read the cache: --cache-writers of the control plane decides";
        return Some(check(Kind::Push, Status::Skipped, why));
    }
    let registry = cache.registry_host();
    let missing = logins.problems.iter().find(|problem| {
        problem.host == registry && problem.reason() == CredentialProblemReason::PermissionMissing
    });
    missing.map(|missing| check(Kind::Push, Status::Failed, missing.message.clone()))
}
