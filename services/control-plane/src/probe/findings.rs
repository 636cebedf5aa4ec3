use hearth_api::v1::{AccessCheck, AccessCheckKind as Kind, AccessCheckStatus as Status};
use hearth_domain::{Login, Repository};

use crate::{cache::CacheUse, credentials::Logins};

/// GitHub accepts a signature from up to a minute before its time.
const MAX_SKEW_SECONDS: u64 = 60;

/// One check for each problem; without problems, one with the users of the logins.
pub(super) fn login(logins: &Logins, host: &str, registry: Option<&str>) -> Vec<AccessCheck> {
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
        "no credentials are configured for {host}{}: only public repositories work",
        registry.unwrap_or_default()
    );
    vec![check(Kind::Login, Status::Skipped, message)]
}

pub(super) fn clock(skew_seconds: Option<i64>) -> AccessCheck {
    let Some(skew) = skew_seconds else {
        let message = "there is no clock to compare the control plane's with";
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

/// The result in a sentence: the first failure, or what works.
pub(super) fn summary(
    repository: &Repository,
    cache: Option<&CacheUse>,
    checks: &[AccessCheck],
) -> String {
    let mut failed = checks
        .iter()
        .filter(|check| check.status() == Status::Failed);
    if let Some(first) = failed.next() {
        // A right that the login lacks is also reported by the registry.
        return match failed
            .filter(|other| other.message != first.message)
            .count()
        {
            0 => format!("{repository}: {}.", first.message),
            more => format!("{repository}: {}; and {more} more.", first.message),
        };
    }
    let is_read = checks
        .iter()
        .any(|check| check.kind() == Kind::GitRead && check.status() == Status::Ok);
    let read = if is_read {
        "can be read"
    } else {
        "was not tried"
    };
    let place = |cache: &CacheUse| cache.reference.repository().to_string();
    match cache {
        Some(cache) if cache.writable => format!(
            "{repository} {read}, and its images are cached in {}.",
            place(cache)
        ),
        Some(cache) => format!(
            "{repository} {read}, and its images are fetched from {}; this ref may not push any.",
            place(cache)
        ),
        None => format!("{repository} {read}; its images are not cached."),
    }
}

pub(super) fn check(kind: Kind, status: Status, message: impl Into<String>) -> AccessCheck {
    AccessCheck {
        kind: kind.into(),
        status: status.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::CacheReference;

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
        let registry = "ghcr.io".parse().expect("a registry");
        let mut cache = CacheUse {
            reference: CacheReference::new(&registry, &repository, None).expect("a cache"),
            writable: true,
        };
        let say = |cache: Option<&CacheUse>, statuses: &[Status]| {
            let checks: Vec<_> = (1..)
                .zip(statuses)
                .map(|(number, &status)| check(Kind::Push, status, format!("finding {number}")))
                .collect();
            summary(&repository, cache, &checks)
        };
        assert_eq!(
            say(Some(&cache), &[Status::Ok, Status::Failed]),
            "github.com/acme/shop: finding 2."
        );
        assert_eq!(
            say(Some(&cache), &[Status::Failed, Status::Failed]),
            "github.com/acme/shop: finding 1; and 1 more."
        );
        let git = |status| summary(&repository, None, &[check(Kind::GitRead, status, "")]);
        assert!(git(Status::Ok).contains("can be read"));
        assert!(git(Status::Skipped).contains("was not tried"));
        let well = [Status::Ok, Status::Warning, Status::Skipped];
        assert!(say(Some(&cache), &well).contains("cached in ghcr.io/acme/shop"));
        cache.writable = false;
        assert!(say(Some(&cache), &well).contains("may not push"));
        assert!(say(None, &well).contains("not cached"));
    }
}
