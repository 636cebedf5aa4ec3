use std::cell::RefCell;

use hearth_api::v1::{
    CacheAccess, PrepareWorkspaceRequest, WatchUntil, Workspace, WorkspaceSpec, WorkspaceState,
};
use uuid::Uuid;

use super::{Context, display::Display};
use crate::{
    args::UpArgs,
    connect::connect,
    error::CliError,
    exit::Exit,
    follow::{Follower, Update},
    patience::Patience,
    render::{clean::line, describe, names, summary},
};

/// Prepares a workspace and shows how it goes.
pub(super) async fn up(context: &Context<'_>, args: &UpArgs) -> Result<Exit, CliError> {
    let json = context.json()?;
    let request = request(args);
    let advice = context.on_interrupt.get_or_init(|| {
        RefCell::new(format!(
            "hearth: interrupted before the control plane answered; if it has accepted the call the preparation goes \
             on, and the same command with --request-id {} finds it",
            line(&request.request_id)
        ))
    });
    let channel = connect(&context.cli.control_plane).await?;
    let patience = Patience::new(args.reconnect.limit());
    let mut follower = Follower::prepare(channel, request, patience);
    let mut display = Display::new(context.out, json.as_ref(), args.verbose);
    while let Some(update) = follower.next().await? {
        match update {
            Update::Snapshot(workspace) => {
                advice.replace(format!(
                    "hearth: interrupted; the preparation goes on. Watch it with: hearth logs {} --follow",
                    line(&workspace.id)
                ));
                display.snapshot(&workspace);
            }
            Update::Event(event) => display.event(&event)?,
            Update::Note(note) => display.note(&format!("hearth: {note}")),
        }
    }
    let workspace = follower.workspace().await?;
    drop(display);
    match &json {
        Some(json) => {
            context.print_json(json, &workspace)?;
            if let Some(failure) = &workspace.failure {
                let state = names::state(workspace.state);
                let why = describe::failure(failure);
                context.out.note(&format!(
                    "hearth: {} is {state}: {why}",
                    line(&workspace.id)
                ));
            }
        }
        // What failed is no result: it goes where errors go.
        None if workspace.state() == WorkspaceState::Failed => {
            context.out.note(&summary::workspace(&workspace));
        }
        None => context.out.print(&summary::workspace(&workspace))?,
    }
    Ok(exit(context, &workspace))
}

fn request(args: &UpArgs) -> PrepareWorkspaceRequest {
    let spec = args.repository.as_ref().map(|repository| WorkspaceSpec {
        repository: repository.clone(),
        r#ref: args.git_ref.clone(),
        config: args.config.clone(),
        lightweight: args.lightweight,
        cache_access: args
            .cache
            .map_or(CacheAccess::Unspecified, CacheAccess::from)
            .into(),
        timeout_seconds: args.timeout,
    });
    PrepareWorkspaceRequest {
        // An id of our own makes it safe to repeat the call when its answer is lost.
        request_id: match &args.request_id {
            Some(id) if !id.is_empty() => id.clone(),
            _ => Uuid::new_v4().to_string(),
        },
        spec,
        node: args.node.clone(),
        workspace_id: args.workspace.clone().unwrap_or_default(),
        until: WatchUntil::from(args.until).into(),
    }
}

fn exit(context: &Context<'_>, workspace: &Workspace) -> Exit {
    match workspace.state() {
        WorkspaceState::Ready => Exit::Ok,
        WorkspaceState::Recovery => Exit::Recovery,
        WorkspaceState::Failed => Exit::WorkspaceFailed,
        WorkspaceState::Unspecified
        | WorkspaceState::Pending
        | WorkspaceState::Preparing
        | WorkspaceState::Deleting => {
            context.out.note(&format!(
                "hearth: {} is {}: a newer attempt or a deletion came in between",
                line(&workspace.id),
                names::state(workspace.state)
            ));
            Exit::Error
        }
    }
}
