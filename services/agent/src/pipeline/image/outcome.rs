use hearth_api::v1::{CacheReport, CacheResult, CacheSkipReason, PipelineStep};

use crate::{
    disk::ImageUse,
    pipeline::{push::PushPlan, resolve::Hit},
};

pub(super) const STEP: PipelineStep = PipelineStep::Image;

/// An image that the engine has, how it was obtained, and what is left to push.
#[derive(Debug)]
pub struct Image {
    /// Its name in the engine.
    pub name: String,
    /// The cache's part in it.
    pub report: CacheReport,
    /// What to push.
    pub push: PushPlan,
    /// The hit that it is.
    pub hit: Option<Hit>,
    /// Keeps it from being removed until its container exists.
    pub in_use: ImageUse,
}

/// The report if the cache was not used.
pub fn skipped(reason: CacheSkipReason) -> CacheReport {
    CacheReport {
        result: CacheResult::Skipped.into(),
        skip_reason: reason.into(),
        ..CacheReport::default()
    }
}
