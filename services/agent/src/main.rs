//! The hearth agent.

use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use hearth_agent::{app::App, config::Config, key_command::KeyCommand};
use hearth_runtime::{EXIT_CONFIG, without_empty_variables};

fn main() -> ExitCode {
    let matches = without_empty_variables(command()).try_get_matches();
    let parsed = matches.and_then(|matches| parse(&matches));
    match parsed {
        Ok(Asked::Key(command)) => key(command),
        Ok(Asked::Agent(config)) => serve(*config),
        Err(error) => {
            // --help and --version come this way too, and are no mistakes.
            let code = if error.use_stderr() { EXIT_CONFIG } else { 0 };
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}

/// What the command line asks for.
enum Asked {
    Agent(Box<Config>),
    Key(KeyCommand),
}

/// The agent is what is called without a word; its flags are those of no other command.
fn command() -> Command {
    Config::command()
        .subcommand(KeyCommand::command())
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
}

fn parse(matches: &ArgMatches) -> Result<Asked, clap::Error> {
    Ok(match matches.subcommand() {
        Some((_, matches)) => Asked::Key(KeyCommand::from_arg_matches(matches)?),
        None => Asked::Agent(Box::new(Config::from_arg_matches(matches)?)),
    })
}

fn key(command: KeyCommand) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => {
            eprintln!("the system gives no threads: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> ExitCode {
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
