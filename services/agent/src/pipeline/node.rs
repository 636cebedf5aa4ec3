use std::{path::PathBuf, sync::Arc, time::Duration};

use hearth_api::v1;
use hearth_domain::Platform;

use crate::{
    build_log::BuildLogs,
    disk::{DiskKeeper, ImagesInUse},
    engine_health::EngineHealth,
    neighbourhood::Neighbourhood,
    policy::Policy,
};

/// Facts about the node, and what its attempts share.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// The platform of its containers.
    pub platform: Platform,
    /// How the engine keeps images.
    pub store: v1::ImageStore,
    /// Version of the devcontainer CLI.
    pub cli_version: String,
    /// Image for repositories without a devcontainer.
    pub default_image: String,
    /// Free disk that an attempt needs to start, in bytes.
    pub min_free_disk_bytes: u64,
    /// How long the push may take, and the export of the build cache.
    pub push_timeout: Duration,
    /// Percent of exact hits that are audited.
    pub audit_percent: u8,
    /// The output of image builds.
    pub build_logs: BuildLogs,
    /// Images that its attempts use.
    pub images: ImagesInUse,
    /// The nodes around it, where the operator lets them share layers.
    pub neighbourhood: Option<Neighbourhood>,
    /// Frees its disk.
    pub disk: Arc<DiskKeeper>,
    /// What attempts may ask of it.
    pub policy: Policy,
    /// Whether its engine works.
    pub engine: EngineHealth,
    /// Where its engine keeps data.
    pub data_root: PathBuf,
}
