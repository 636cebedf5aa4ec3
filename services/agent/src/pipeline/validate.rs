use std::time::Duration;

use hearth_api::v1::{Failure, FailureReason, PipelineStep};

use super::{context::Context, failure::failure};

/// How often room is made on the disk, and the time between, before an attempt is refused.
const MAKING_ROOM: u32 = 5;
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Checks the node: its engine, and room on its disk.
pub async fn validate(cx: &Context<'_>) -> Result<(), Failure> {
    let step = PipelineStep::Validate;
    cx.recorder
        .step(step, "checks the node", async {
            if let Some(problem) = cx.node.engine.check(cx.externals.engine.as_ref()).await {
                return Err(failure(FailureReason::EngineFailed, step, problem));
            }
            let needed = cx.node.min_free_disk_bytes;
            let look = || {
                cx.node.disk.free_bytes().map_err(|error| {
                    failure(
                        FailureReason::EngineFailed,
                        step,
                        format!(
                            "the free space of the engine's data folder cannot be read: {error}"
                        ),
                    )
                })
            };
            if look()? >= needed {
                return Ok(());
            }
            // Images that nothing uses do not keep a node from working.
            let engine = cx.externals.engine.as_ref();
            // What a failed attempt filled is free a while after it was removed.
            for _ in 0..MAKING_ROOM {
                cx.node.disk.make_room(engine, needed).await;
                if look()? >= needed {
                    return Ok(());
                }
                tokio::time::sleep(ROOM_PAUSE).await;
            }
            let free = look()?;
            if free < needed {
                let message = format!(
                    "the node has {} MiB of free disk; {} MiB are needed",
                    free >> 20,
                    needed >> 20
                );
                return Err(failure(FailureReason::DiskFull, step, message));
            }
            Ok(())
        })
        .await
}
