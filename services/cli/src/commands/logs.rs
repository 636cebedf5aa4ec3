use super::Context;
use crate::{
    args::LogsArgs,
    connect::connect,
    error::CliError,
    exit::Exit,
    follow::{Follower, Update},
    patience::Patience,
    render::plain::{Plain, Stamp},
};

/// Prints a workspace's log: to its present end, or with `--follow` until the workspace has settled.
pub(super) async fn logs(context: &Context<'_>, args: &LogsArgs) -> Result<Exit, CliError> {
    let json = context.json()?;
    let mut plain = Plain::new(Stamp::Clock, true);
    let channel = connect(&context.cli.control_plane).await?;
    let patience = Patience::new(args.reconnect.limit());
    let mut follower = Follower::watch(channel, args.workspace.clone(), args.after, patience);
    let mut last = u64::MAX;
    let mut told = args.after;
    while told < last {
        match follower.next().await? {
            Some(Update::Snapshot(workspace)) => {
                if !args.follow {
                    last = workspace.last_sequence;
                }
            }
            Some(Update::Event(event)) => {
                told = event.sequence;
                match &json {
                    Some(json) => context.print_json(json, event.as_ref())?,
                    None => {
                        for line in plain.lines(&event) {
                            context.out.print(&line)?;
                        }
                    }
                }
            }
            Some(Update::Note(note)) => context.out.note(&format!("hearth: {note}")),
            None => break,
        }
    }
    Ok(Exit::Ok)
}
