//! Starts the control plane.

use std::{io::Write as _, process::ExitCode};

use hearth_control_plane::{Config, ConfigError, ControlPlane};
use hearth_runtime::EXIT_CONFIG;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    allow_connections(config.limits.max_connections);
    hearth_runtime::run(|stop| async { ControlPlane::build(config).await?.run(stop).await })
}

/// Takes as many open files as the system gives: many systems begin with 1,024, and every connection is one.
fn allow_connections(connections: u32) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
    if let Some(files) = maximum
        && files < u64::from(connections)
    {
        tracing::warn!(
            files,
            connections,
            "the system gives fewer open files than --max-connections (HEARTH_MAX_CONNECTIONS) allows connections: raise its limit (LimitNOFILE=), or lower the flag"
        );
    }
}

fn refuse(text: &str) -> ExitCode {
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_CONFIG)
}
