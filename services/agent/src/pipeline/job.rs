use std::{collections::BTreeMap, time::Duration};

use hearth_api::v1::CacheSkipReason;
use hearth_domain::{AttemptRef, CacheReference, Digest, ServiceName, Spec};

use crate::policy::HostAccess;

/// How long an attempt may take until it is ready if its request sets no limit.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(1800);

/// What an attempt is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// The workspace to prepare.
    pub spec: Spec,
    /// Where the cache is and what may be done with it, or why it is not used.
    pub cache: Result<CacheUse, CacheSkipReason>,
    /// Whether its ref may write to the repository's cache.
    pub trusted: bool,
    /// What the control plane says about the repository's use of the node.
    pub host_access: Option<HostAccess>,
    /// Namespace of the cache mounts of its builds.
    pub cache_mounts: String,
    /// What tells the control plane that asks from every other. Empty: it does not say.
    pub control_plane: String,
}

/// The cache of an attempt.
#[derive(Clone, Debug)]
pub struct CacheUse {
    /// Where it is.
    pub reference: CacheReference,
    /// Whether it may be written.
    pub writable: bool,
    /// Digest of the newest image, if it is to be prefetched.
    pub newest_digest: Option<Digest>,
    /// The same of the other services of its Docker Compose project.
    pub newest_of_services: BTreeMap<ServiceName, Digest>,
}

impl Job {
    /// `host[:port]` of the cache's registry.
    pub fn registry(&self) -> Option<&str> {
        let cache = self.cache.as_ref().ok()?;
        Some(cache.reference.repository().registry_host())
    }

    /// How long it may take until it is ready.
    pub fn time_limit(&self) -> Duration {
        self.spec.time_limit.unwrap_or(DEFAULT_TIME_LIMIT)
    }
}
