use std::time::Duration;

use hearth_api::v1;
use hearth_domain::{CacheReference, ConfigName, Digest, GitRef, Repository};
use hearth_runtime::FieldFaults;
use tonic::Status;

/// What an attempt is asked to do, checked.
#[derive(Debug)]
pub struct Job {
    /// Which attempt.
    pub attempt: v1::AttemptRef,
    /// The request as it was sent.
    pub spec: v1::WorkspaceSpec,
    /// The repository of the spec.
    pub repository: Repository,
    /// The configuration of the spec; `None` for the default one.
    pub config: Option<ConfigName>,
    /// Where the cache is and what may be done with it, or why it is left alone.
    pub cache: Result<CacheUse, v1::CacheSkipReason>,
    /// How long it may take until it is ready.
    pub time_limit: Duration,
}

/// The cache of an attempt.
#[derive(Clone, Debug)]
pub struct CacheUse {
    /// Where it is.
    pub reference: CacheReference,
    /// Whether it may be written.
    pub writable: bool,
    /// Digest of the newest image, where fetching it ahead is worth it.
    pub newest_digest: Option<Digest>,
}

const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(1800);

impl Job {
    /// `host[:port]` of the cache's registry.
    pub fn registry(&self) -> Option<&str> {
        let cache = self.cache.as_ref().ok()?;
        Some(cache.reference.repository().registry_host())
    }

    /// Checks a request; the control plane did so too, but an agent believes nobody.
    pub fn from_request(request: v1::StartAttemptRequest) -> Result<Self, Status> {
        let cache_skip_reason = request.cache_skip_reason();
        let v1::StartAttemptRequest {
            attempt,
            spec,
            cache,
            cache_skip_reason: _,
        } = request;
        let attempt = attempt.unwrap_or_default();
        let spec = spec.unwrap_or_default();
        let mut faults = FieldFaults::default();
        if !is_workspace_id(&attempt.workspace_id) {
            faults.add(
                "attempt.workspace_id",
                "must be 1 to 63 lower-case letters, digits and dashes",
            );
        }
        if attempt.attempt == 0 {
            faults.add("attempt.attempt", "counts from 1");
        }
        let repository = faults.check("spec.repository", spec.repository.parse::<Repository>());
        faults.check("spec.ref", spec.r#ref.parse::<GitRef>());
        let config = match spec.config.as_str() {
            "" => None,
            name => faults.check("spec.config", name.parse::<ConfigName>()),
        };
        let cache = cache.map(|target| {
            let at = faults.check("cache.repository", target.repository.parse());
            let reference = at.and_then(|at| {
                faults.check("cache.tag", CacheReference::from_parts(at, &target.tag))
            });
            reference.map(|reference| CacheUse {
                writable: target.access() == v1::CacheAccess::ReadWrite,
                newest_digest: target.newest_digest.parse().ok(),
                reference,
            })
        });
        faults.into_result()?;
        let Some(repository) = repository else {
            // A repository that did not parse has been a fault above.
            return Err(Status::invalid_argument("spec.repository"));
        };
        let time_limit = match spec.timeout_seconds {
            0 => DEFAULT_TIME_LIMIT,
            seconds => Duration::from_secs(seconds.into()),
        };
        Ok(Self {
            attempt,
            repository,
            config,
            cache: cache.flatten().ok_or(cache_skip_reason),
            time_limit,
            spec,
        })
    }
}

/// The id becomes part of volume, container and folder names.
pub(crate) fn is_workspace_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !id.starts_with('-')
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn every_fault_is_named_by_its_field() {
        let request = v1::StartAttemptRequest {
            attempt: Some(v1::AttemptRef {
                workspace_id: "../x".into(),
                attempt: 0,
            }),
            spec: Some(v1::WorkspaceSpec {
                repository: "file:///etc".into(),
                r#ref: "-x".into(),
                config: "a/b".into(),
                ..v1::WorkspaceSpec::default()
            }),
            ..v1::StartAttemptRequest::default()
        };
        let status = Job::from_request(request).unwrap_err();
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "attempt.workspace_id",
                "attempt.attempt",
                "spec.repository",
                "spec.ref",
                "spec.config"
            ]
        );
    }

    #[test]
    fn a_request_without_a_cache_says_why() {
        let request = v1::StartAttemptRequest {
            attempt: Some(v1::AttemptRef {
                workspace_id: "ws-1".into(),
                attempt: 1,
            }),
            spec: Some(v1::WorkspaceSpec {
                repository: "https://github.com/a/b".into(),
                ..v1::WorkspaceSpec::default()
            }),
            cache_skip_reason: v1::CacheSkipReason::Off.into(),
            ..v1::StartAttemptRequest::default()
        };
        let job = Job::from_request(request).unwrap();
        assert_eq!(job.cache.unwrap_err(), v1::CacheSkipReason::Off);
        assert_eq!(job.time_limit, DEFAULT_TIME_LIMIT);
    }
}
