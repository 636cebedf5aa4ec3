use hearth_api::v1::{Failure, FailureReason, PipelineStep};

use super::{context::Context, failure::failure};
use crate::{door::source_policy, policy::Door, scratch::SOURCE_POLICY};

/// Writes what the attempt's builds may take: no image of another workspace, or in the cache of another repository. Without
/// it nothing is built.
pub async fn limit_sources(cx: &Context<'_>) -> Result<(), Failure> {
    let engine_failed = |error| failure(FailureReason::EngineFailed, PipelineStep::Image, error);
    let images = cx.externals.engine.images().await.map_err(engine_failed)?;
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let node = (!cx.allowed.is_open(&Door::HostNetwork)).then_some(name.as_str());
    let policy = source_policy(&cx.images, &images, node);
    tokio::fs::write(cx.scratch.path().join(SOURCE_POLICY), policy)
        .await
        .map_err(|error| failure(FailureReason::Internal, PipelineStep::Image, error))
}
