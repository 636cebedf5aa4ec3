use std::{sync::Arc, time::Duration};

use hearth_runtime::Tasks;
use tokio::time::{Instant, sleep};

use crate::external::engine::{EngineFailure, Execs, Signal, TerminalSize};

/// How long a command has after SIGHUP.
const GRACE: Duration = Duration::from_secs(10);
/// How often the engine is asked whether a command has ended, at first and later.
const PERIODS: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// A command of somebody in a workspace. Dropping it before it has ended ends it.
pub struct Session {
    execs: Arc<dyn Execs>,
    tasks: Tasks,
    exec: String,
    has_ended: bool,
}

impl Session {
    pub fn new(execs: Arc<dyn Execs>, tasks: Tasks, exec: String) -> Self {
        Self {
            execs,
            tasks,
            exec,
            has_ended: false,
        }
    }

    pub async fn resize(&self, size: TerminalSize) {
        // It may have ended, and a size is no matter to fail for.
        if let Err(error) = self.execs.resize(&self.exec, size).await {
            tracing::debug!(%error, "a terminal keeps its size");
        }
    }

    pub async fn signal(&self, signal: Signal) -> Result<(), EngineFailure> {
        self.execs.signal(&self.exec, signal).await
    }

    /// Waits until it has ended.
    pub async fn exit_code(&mut self) -> Result<i32, EngineFailure> {
        let [mut period, longest] = PERIODS;
        loop {
            let state = self.execs.state(&self.exec).await?;
            if !state.is_running {
                self.has_ended = true;
                return Ok(state.exit_code.unwrap_or_default());
            }
            sleep(period).await;
            period = (period * 2).min(longest);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (execs, exec) = (self.execs.clone(), std::mem::take(&mut self.exec));
        self.tasks.spawn("end of a command", async move {
            if let Err(error) = end(execs.as_ref(), &exec).await {
                tracing::warn!(%error, "a command whose client is gone could not be ended");
            }
        });
    }
}

/// Tells a command to end, and makes it end.
async fn end(execs: &dyn Execs, exec: &str) -> Result<(), EngineFailure> {
    let limit = Instant::now() + GRACE;
    let [mut period, longest] = PERIODS;
    execs.signal(exec, Signal::Hup).await?;
    // One that is stopped would not hear it.
    execs.signal(exec, Signal::Cont).await?;
    while execs.state(exec).await?.is_running {
        if Instant::now() >= limit {
            return execs.signal(exec, Signal::Kill).await;
        }
        sleep(period).await;
        period = (period * 2).min(longest);
    }
    Ok(())
}
