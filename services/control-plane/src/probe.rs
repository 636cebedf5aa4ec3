//! Tries what preparing a repository needs, and says in plain words what is missing.

mod git;
mod once;
mod registry;

use hearth_api::v1::{
    AccessCheck, AccessCheckKind as Kind, AccessCheckStatus as Status, CacheAccess, CacheTarget,
    CredentialProblemReason, ProbeAccessResponse, WorkspaceSpec,
};
use hearth_domain::{Repository, sha256_hex};
use secrecy::ExposeSecret as _;

use crate::{
    cache_target::{CacheRights, cache_target, registry_host},
    core::Core,
    credentials::{Ask, Login, Logins},
};

pub(crate) use once::Probed;

/// Signatures of a GitHub App are good for a minute before they were made.
const MAX_SKEW_SECONDS: u64 = 60;

/// Makes logins, and tries what they allow.
pub(crate) async fn probe(
    core: &Core,
    repository: &Repository,
    spec: &WorkspaceSpec,
) -> ProbeAccessResponse {
    let logins = logins(core, repository, spec, "").await;
    probe_with(core, repository, spec, logins).await
}

/// Tries everything that these logins are for, one thing after the other, and leaves nothing behind.
async fn probe_with(
    core: &Core,
    repository: &Repository,
    spec: &WorkspaceSpec,
    mut logins: Logins,
) -> ProbeAccessResponse {
    let target = cache_target(spec, &core.cache_rules);
    let registry = CacheRights::of(spec, &core.cache_rules).registry;
    let host = repository.host_port();
    let mut read = git::read(repository, logins.git.as_ref()).await;
    if let (git::Read::Refused(_), Some(login)) = (&read, &logins.git) {
        // It comes from a cache, and may have been revoked: an attempt would get another one too.
        let refused = sha256_hex(login.password.expose_secret());
        logins = self::logins(core, repository, spec, &refused).await;
        read = git::read(repository, logins.git.as_ref()).await;
    }
    let mut checks = login(&logins, &host, registry.as_deref());
    checks.push(clock(core.credentials.clock_skew_seconds(&host)));
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
    core: &Core,
    repository: &Repository,
    spec: &WorkspaceSpec,
    refused_sha256: &str,
) -> Logins {
    let cache = CacheRights::of(spec, &core.cache_rules);
    let ask = Ask {
        repository,
        registry: cache.registry.as_deref(),
        rights: cache.rights,
        refused_sha256,
    };
    core.credentials.logins(&ask).await
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

/// One check for each problem; where there is none, one that says whose logins there are.
fn login(logins: &Logins, host: &str, registry: Option<&str>) -> Vec<AccessCheck> {
    if !logins.problems.is_empty() {
        return logins
            .problems
            .iter()
            .map(|problem| check(Kind::Login, Status::Failed, problem.message.clone()))
            .collect();
    }
    let place = |login: &Login| format!("{} as {}", login.host, login.username);
    let all = [&logins.git, &logins.registry].map(|login| login.as_ref().map(place));
    let all: Vec<String> = all.into_iter().flatten().collect();
    if !all.is_empty() {
        return vec![check(Kind::Login, Status::Ok, all.join(", "))];
    }
    let registry = registry.map(|registry| format!(" and {registry}"));
    let message = format!(
        "no credentials are configured for {host}{}: only what is public works",
        registry.unwrap_or_default()
    );
    vec![check(Kind::Login, Status::Skipped, message)]
}

fn clock(skew_seconds: Option<i64>) -> AccessCheck {
    let Some(skew) = skew_seconds else {
        let message = "there is no clock to compare that of the control plane with";
        return check(Kind::Clock, Status::Skipped, message);
    };
    let status = match skew.unsigned_abs() <= MAX_SKEW_SECONDS {
        true => Status::Ok,
        false => Status::Failed,
    };
    let message = match skew {
        0 => "the control plane's clock is right".to_owned(),
        1.. => format!("the control plane's clock is {skew} s slow"),
        _ => format!("the control plane's clock is {} s fast", -skew),
    };
    check(Kind::Clock, status, message)
}

/// The finding in a sentence: the first thing that does not work decides.
fn summary(
    repository: &Repository,
    target: Option<&CacheTarget>,
    checks: &[AccessCheck],
) -> String {
    let mut failed = checks
        .iter()
        .filter(|check| check.status() == Status::Failed);
    if let Some(first) = failed.next() {
        // What is missing in the login is what the registry misses too.
        return match failed
            .filter(|other| other.message != first.message)
            .count()
        {
            0 => format!("{repository}: {}.", first.message),
            more => format!("{repository}: {}; and {more} more.", first.message),
        };
    }
    match target {
        Some(target) if target.access() == CacheAccess::ReadWrite => format!(
            "{repository} can be read, and its images are cached in {}.",
            target.repository
        ),
        Some(target) => format!(
            "{repository} can be read, and its images are fetched from {}; this ref may not push any.",
            target.repository
        ),
        None => format!("{repository} can be read; its images are not cached."),
    }
}

fn check(kind: Kind, status: Status, message: impl Into<String>) -> AccessCheck {
    AccessCheck {
        kind: kind.into(),
        status: status.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_more_than_signatures_allow_is_a_failure() {
        for (skew, status, text) in [
            (None, Status::Skipped, "no clock"),
            (Some(0), Status::Ok, "is right"),
            (Some(59), Status::Ok, "59 s slow"),
            (Some(61), Status::Failed, "61 s slow"),
            (Some(-300), Status::Failed, "300 s fast"),
        ] {
            let check = clock(skew);
            assert_eq!(check.status(), status, "{skew:?}");
            assert!(check.message.contains(text), "{}", check.message);
        }
    }

    #[test]
    fn the_summary_is_the_first_failure_or_what_works() {
        let repository: Repository = "https://github.com/acme/shop"
            .parse()
            .expect("a repository");
        let mut target = CacheTarget {
            repository: "ghcr.io/acme/shop".into(),
            access: CacheAccess::ReadWrite.into(),
            ..CacheTarget::default()
        };
        let say = |target: Option<&CacheTarget>, statuses: &[Status]| {
            let checks: Vec<_> = (1..)
                .zip(statuses)
                .map(|(number, &status)| check(Kind::Push, status, format!("finding {number}")))
                .collect();
            summary(&repository, target, &checks)
        };
        assert_eq!(
            say(Some(&target), &[Status::Ok, Status::Failed]),
            "github.com/acme/shop: finding 2."
        );
        assert_eq!(
            say(Some(&target), &[Status::Failed, Status::Failed]),
            "github.com/acme/shop: finding 1; and 1 more."
        );
        let well = [Status::Ok, Status::Warning, Status::Skipped];
        assert!(say(Some(&target), &well).contains("cached in ghcr.io/acme/shop"));
        target.access = CacheAccess::ReadOnly.into();
        assert!(say(Some(&target), &well).contains("may not push"));
        assert!(say(None, &well).contains("not cached"));
    }
}
