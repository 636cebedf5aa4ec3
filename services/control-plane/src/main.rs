//! Starts the control plane.

use std::{io::Write as _, process::ExitCode};

use hearth_control_plane::{Config, ConfigError, ControlPlane};
use hearth_runtime::EXIT_CONFIG;

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(ConfigError::Asked(text)) => {
            // A closed pipe is not a failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(ConfigError::Unusable(text)) => return refuse(&text),
    };
    if let Err(error) = config.logging.init() {
        return refuse(&format!("error: {error}\n"));
    }
    hearth_runtime::run(|stop| async { ControlPlane::build(config).await?.run(stop).await })
}

fn refuse(text: &str) -> ExitCode {
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_CONFIG)
}
