use std::{sync::Arc, time::Duration};

use hearth_api::v1;
use hearth_domain::Platform;

use crate::disk::{DiskKeeper, ImagesInUse};

/// What the steps need to know of the node.
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
    /// An attempt is not begun with less, in bytes.
    pub min_free_disk_bytes: u64,
    /// How long the background work of an attempt may take.
    pub push_timeout: Duration,
    /// Images that its attempts need right now.
    pub images: ImagesInUse,
    /// Makes room on its disk.
    pub disk: Arc<DiskKeeper>,
}
