use hearth_api::v1::{GetBuildLogRequest, workspace_service_client::WorkspaceServiceClient};
use hearth_domain::{WorkspaceId, text::printable_lines};
use tonic::Response;

use super::context::Context;
use crate::{
    args::LogsArgs,
    backoff::Backoff,
    error::CliError,
    exit::Exit,
    follow::{Follower, Update},
    out,
    render::plain::{Plain, Stamp},
};

/// `hearth logs`: up to the event that is the last when it begins, or with `--follow` until the workspace has settled.
pub(super) async fn logs(context: &Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let mut plain = Plain::new(Stamp::Clock, true);
    let backoff = Backoff::new(args.reconnect.limit());
    let channel = context.connect().await?;
    let mut follower = Follower::watch(channel, args.workspace.to_string(), args.after.0, backoff);
    let mut last = u64::MAX;
    let mut printed = args.after.0;
    while printed < last {
        match follower.next().await? {
            Some(Update::Snapshot(workspace)) if !args.follow => last = workspace.last_sequence,
            Some(Update::Snapshot(_)) => {}
            Some(Update::Event(event)) => {
                printed = event.sequence;
                match &context.json {
                    Some(json) => json.print(event.as_ref())?,
                    None => plain
                        .lines(&event)
                        .iter()
                        .try_for_each(|line| out::print(line))?,
                }
            }
            Some(Update::Note(note)) => out::note(&format!("hearth: {note}")),
            None => break,
        }
    }
    Ok(Exit::Ok)
}

/// `hearth logs --build`: the whole output of the last image build.
pub(super) async fn build(context: &Context, workspace: &WorkspaceId) -> Result<Exit, CliError> {
    let mut client = WorkspaceServiceClient::new(context.connect().await?);
    let request = GetBuildLogRequest {
        workspace_id: workspace.to_string(),
    };
    let mut pieces = context.answer(client.get_build_log(request).await)?;
    while let Some(piece) = context.answer(pieces.message().await.map(Response::new))? {
        match &context.json {
            Some(json) => json.print(&piece)?,
            None => out::print(&printable_lines(&piece.text))?,
        }
    }
    Ok(Exit::Ok)
}
