use hearth_api::v1::{CacheReport, CacheResult, CacheSkipReason, PipelineStep};

use crate::{disk::ImageUse, pipeline::push::PushPlan};

pub(super) const STEP: PipelineStep = PipelineStep::Image;

/// An image that the engine has, how it came there, and what is left to do for the cache.
#[derive(Debug)]
pub struct Image {
    /// What the engine knows it by.
    pub name: String,
    /// What the cache did.
    pub report: CacheReport,
    /// The background work.
    pub push: PushPlan,
    /// Keeps it from being removed until its container is there.
    pub in_use: ImageUse,
}

/// A report of a cache that was left alone.
pub fn skipped(reason: CacheSkipReason) -> CacheReport {
    CacheReport {
        result: CacheResult::Skipped.into(),
        skip_reason: reason.into(),
        ..CacheReport::default()
    }
}
