use std::{collections::BTreeMap, path::Path, time::Duration};

use hearth_api::v1::{CacheSkipReason, Failure};
use hearth_domain::{AttemptRef, CacheReference, Digest, ServiceName, Spec};

use crate::{external::devcontainer::Started, policy::HostAccess, scratch::Leftover};

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
    /// Whether the clone that the workspace has is kept. It was whole when its control plane said so.
    pub keep_clone: bool,
    /// Whether the image is built without reading BuildKit's cache.
    pub no_cache: bool,
    /// The image for repositories that name none; `None`: the node's own.
    pub default_image: Option<String>,
    /// The workspace is there and is started; nothing is prepared. `None`: it is prepared.
    pub start: Option<StartTarget>,
}

/// A workspace that is there and is to be started.
#[derive(Clone, Debug)]
pub struct StartTarget {
    /// Its container, with user and folder, as its engine and its configuration had made them.
    pub started: Started,
    /// Why it was in RECOVERY, if it was.
    pub recovery: Option<Failure>,
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

    /// Its folder in `attempts`. What an attempt at preparing leaves is removed with its workspace, and what one at starting
    /// leaves is stopped.
    pub fn folder(&self, attempts: &Path) -> Leftover {
        match self.start {
            Some(_) => Leftover::of_start(attempts, &self.attempt),
            None => Leftover::of(attempts, &self.attempt),
        }
    }

    /// How long it may take until it is ready.
    pub fn time_limit(&self) -> Duration {
        self.spec.time_limit.unwrap_or(DEFAULT_TIME_LIMIT)
    }
}
