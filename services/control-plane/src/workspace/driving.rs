use std::sync::Arc;

use super::{default_images::DefaultImages, host_access::HostAccessRules, journal::Journal};
use crate::{
    cache::{CacheMounts, CacheRules},
    node::{Agents, Fleet},
    store::Store,
};

/// What drivers work with.
pub(crate) struct Driving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) rules: Arc<CacheRules>,
    pub(crate) host_access: HostAccessRules,
    pub(crate) default_images: DefaultImages,
    pub(crate) cache_mounts: CacheMounts,
}
