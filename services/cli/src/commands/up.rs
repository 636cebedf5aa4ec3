use std::time::Duration;

use hearth_api::v1::{
    CacheAccess, CloneDepth, Fallback, GitOptions, PrepareWorkspaceRequest, Rebuild,
    StartWorkspaceRequest, WatchUntil, Workspace, WorkspaceSpec, WorkspaceState, event::Kind,
};
use hearth_domain::{GitAuthor, text::printable_line};
use uuid::Uuid;

use super::{context::Context, display::Display};
use crate::{
    args::{RebuildArgs, StartArgs, UpArgs},
    backoff::Backoff,
    error::CliError,
    exit::Exit,
    follow::{Follower, Update},
    local_clone::{LocalClone, Source},
    out,
    render::{describe, names, next, summary},
};

/// `hearth up`: prepares a workspace and shows its progress.
pub(super) async fn up(context: &Context, args: &UpArgs) -> Result<Exit, CliError> {
    let request = request(args)?;
    prepare(context, request, args.verbose, args.reconnect.limit()).await
}

/// `hearth rebuild`: the same for a workspace that there is.
pub(super) async fn rebuild(context: &Context, args: &RebuildArgs) -> Result<Exit, CliError> {
    let rebuild = match args.no_cache {
        true => Rebuild::WithoutCache,
        false => Rebuild::WithCache,
    };
    let request = PrepareWorkspaceRequest {
        request_id: request_id(args.request_id.as_ref()),
        workspace_id: args.workspace.to_string(),
        until: WatchUntil::from(args.until).into(),
        rebuild: rebuild.into(),
        fresh_clone: args.fresh_clone,
        ..PrepareWorkspaceRequest::default()
    };
    prepare(context, request, args.verbose, args.reconnect.limit()).await
}

async fn prepare(
    context: &Context,
    request: PrepareWorkspaceRequest,
    verbose: bool,
    reconnect: Duration,
) -> Result<Exit, CliError> {
    context.on_interrupt.replace(Some(format!(
        "hearth: interrupted before the control plane answered. If it has accepted the call, preparation \
         continues; the same command with --request-id {} finds the workspace",
        printable_line(&request.request_id)
    )));
    let backoff = Backoff::new(reconnect);
    let follower = Follower::prepare(context.connect().await?, request, backoff);
    follow(context, follower, verbose).await
}

/// `hearth start`: starts a workspace again and shows its progress.
pub(super) async fn start(context: &Context, args: &StartArgs) -> Result<Exit, CliError> {
    let request = StartWorkspaceRequest {
        workspace_id: args.workspace.to_string(),
        until: WatchUntil::from(args.until).into(),
    };
    let backoff = Backoff::new(args.reconnect.limit());
    let follower = Follower::start(context.connect().await?, request, backoff);
    follow(context, follower, args.verbose).await
}

async fn follow(
    context: &Context,
    mut follower: Follower,
    verbose: bool,
) -> Result<Exit, CliError> {
    let mut display = Display::new(context.json.as_ref(), verbose);
    let mut reached = WorkspaceState::Unspecified;
    while let Some(update) = follower.next().await? {
        match update {
            Update::Snapshot(workspace) => {
                context.on_interrupt.replace(Some(format!(
                    "hearth: interrupted; preparation continues in the background\n  \
                     watch: hearth logs {id} --follow\n  \
                     stop:  hearth rm {id}",
                    id = printable_line(&workspace.id)
                )));
                display.snapshot(&workspace);
            }
            Update::Event(event) => {
                if let Some(Kind::StateChanged(change)) = &event.kind {
                    reached = change.state();
                }
                display.event(&event)?;
            }
            Update::Note(note) => display.note(&format!("hearth: {note}")),
        }
    }
    let workspace = follower.workspace().await?;
    drop(display);
    match &context.json {
        Some(json) => {
            json.print(&workspace)?;
            if let Some(failure) = &workspace.failure {
                let state = names::state(workspace.state);
                let why = describe::failure(failure);
                out::note(&format!(
                    "hearth: {} is {state}: {why}",
                    printable_line(&workspace.id)
                ));
                for (name, text) in next::steps(&workspace) {
                    out::note(&format!("  {name}: {text}"));
                }
            }
        }
        // A failure is not a result: it goes to stderr.
        None if matches!(
            workspace.state(),
            WorkspaceState::Failed | WorkspaceState::Stopped
        ) =>
        {
            out::note(&summary::workspace(&workspace));
        }
        None => out::print(&summary::workspace(&workspace))?,
    }
    Ok(match workspace.state() {
        // What became of it since is not the preparation's result.
        WorkspaceState::Lost | WorkspaceState::Stopping => exit(&workspace, reached),
        WorkspaceState::Stopped if reached != WorkspaceState::Unspecified => {
            exit(&workspace, reached)
        }
        state => exit(&workspace, state),
    })
}

fn request(args: &UpArgs) -> Result<PrepareWorkspaceRequest, CliError> {
    let spec = args.repository.as_ref().map(|source| spec(args, source));
    let spec = spec.transpose()?;
    Ok(PrepareWorkspaceRequest {
        request_id: request_id(args.request_id.as_ref()),
        spec,
        node: args.node.clone(),
        workspace_id: args
            .workspace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        until: WatchUntil::from(args.until).into(),
        labels: args
            .labels
            .iter()
            .map(|label| (label.key.clone(), label.value.clone()))
            .collect(),
        owner: args
            .owner
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        lifetime: args.lifetime.lifetime(),
        ..PrepareWorkspaceRequest::default()
    })
}

fn spec(args: &UpArgs, source: &Source) -> Result<WorkspaceSpec, CliError> {
    let mut author = args.author.0.clone();
    let (repository, git_ref) = match source {
        Source::Url(repository) => (repository.clone(), args.git_ref.clone()),
        Source::Folder(folder) => {
            let clone = LocalClone::look(folder, &args.git_ref)?;
            for note in &clone.notes {
                out::note(&format!("hearth: {note}"));
            }
            author = author.or(clone.author);
            (clone.repository, clone.git_ref)
        }
    };
    Ok(WorkspaceSpec {
        repository: repository.clone_url(),
        r#ref: git_ref.to_string(),
        config: args.config.name.to_field(),
        lightweight: args.lightweight,
        cache_access: args
            .cache
            .map_or(CacheAccess::Unspecified, CacheAccess::from)
            .into(),
        timeout_seconds: args.timeout.map_or(0, |seconds| seconds.0),
        fallback: args
            .fallback
            .map_or(Fallback::Unspecified, Fallback::from)
            .into(),
        git: git(args, author.as_ref()),
    })
}

/// How the repository is cloned, if that was asked for.
fn git(args: &UpArgs, author: Option<&GitAuthor>) -> Option<GitOptions> {
    let is_asked_for = args.clone.is_some() || !args.sparse.is_empty() || author.is_some();
    let depth = args.clone.map_or(CloneDepth::Unspecified, CloneDepth::from);
    is_asked_for.then(|| GitOptions {
        depth: depth.into(),
        sparse: args.sparse.iter().map(str::to_owned).collect(),
        author_name: author
            .map(|author| author.name().to_owned())
            .unwrap_or_default(),
        author_email: author
            .map(|author| author.email().to_owned())
            .unwrap_or_default(),
    })
}

/// With an id the call can be repeated safely when its answer is lost.
fn request_id(asked_for: Option<&String>) -> String {
    match asked_for {
        Some(id) if !id.is_empty() => id.clone(),
        _ => Uuid::new_v4().to_string(),
    }
}

fn exit(workspace: &Workspace, state: WorkspaceState) -> Exit {
    match state {
        WorkspaceState::Ready => Exit::Ok,
        WorkspaceState::Recovery => Exit::Recovery,
        // A start that failed.
        WorkspaceState::Failed | WorkspaceState::Stopped => Exit::WorkspaceFailed,
        WorkspaceState::Unspecified
        | WorkspaceState::Pending
        | WorkspaceState::Preparing
        | WorkspaceState::Deleting
        | WorkspaceState::Stopping
        | WorkspaceState::Lost => {
            out::note(&format!(
                "hearth: {} is {}: it was deleted or prepared again in the meantime",
                printable_line(&workspace.id),
                names::state(workspace.state)
            ));
            Exit::Error
        }
    }
}
