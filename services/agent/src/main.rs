//! The hearth agent.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use hearth_agent::{app::App, config::Config};
use hearth_runtime::{EXIT_CONFIG, without_empty_variables};

fn main() -> ExitCode {
    let matches = without_empty_variables(Config::command()).try_get_matches();
    let config = match matches.and_then(|matches| Config::from_arg_matches(&matches)) {
        Ok(config) => config,
        Err(error) => {
            // --help and --version come this way too, and are no mistakes.
            let code = if error.use_stderr() { EXIT_CONFIG } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if let Err(error) = config.logging.init() {
        tracing::error!("{error:#}");
        return ExitCode::from(EXIT_CONFIG);
    }
    // The mode of a file counts for the cache key and for BuildKit: clones have the same on every node.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    hearth_runtime::run(|stop| async move {
        let app = tokio::select! {
            app = App::build(config) => app?,
            // It may wait for the engine.
            () = stop.cancelled() => return Ok(()),
        };
        app.run(stop).await
    })
}
