use std::{future::Future, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code for wrong flags or environment variables (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;
/// Exit code for a process that failed to start, or failed later.
pub const EXIT_FAILED: u8 = 1;

/// Runs a service until it ends. SIGINT and SIGTERM cancel its token: it then drains and ends, within a deadline of its
/// own. A second signal ends the process at once.
pub fn run<F>(service: impl FnOnce(CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the async runtime");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let result = tokio::select! {
            result = service(stop.clone()) => result,
            second = two_signals(&stop) => second,
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::from(EXIT_FAILED)
            }
        }
    })
}

async fn two_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    for last in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if !last {
            tracing::info!("shutting down; a second signal ends the process at once");
            stop.cancel();
        }
    }
    anyhow::bail!("ended by a second signal before the shutdown was complete")
}
