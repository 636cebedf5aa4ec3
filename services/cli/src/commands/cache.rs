//! `hearth cache …`

use hearth_api::v1::{
    ExplainRefRequest, ExplainWorkspaceRequest, GetStatsRequest, InvalidateEntryRequest,
    ListEntriesRequest, cache_service_client::CacheServiceClient,
};
use hearth_domain::{GitRef, Repository, text::printable_line};
use tonic::transport::Channel;

use super::{
    context::{Context, now},
    doctor,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{
    args::{CacheCommand, ConfigArg, Subject},
    error::CliError,
    exit::Exit,
    out,
    render::{cache, table::Room},
};

/// Stands for all configurations in `InvalidateEntryRequest`.
const ALL_CONFIGS: &str = "*";

type Client = CacheServiceClient<Channel>;

pub(super) async fn cache(context: &Context, command: &CacheCommand) -> Result<Exit, CliError> {
    let client = CacheServiceClient::new(context.connect().await?);
    match command {
        CacheCommand::Ls { repository, wide } => {
            ls(context, client, repository.0.as_ref(), wide.room()).await?;
        }
        CacheCommand::Explain {
            subject,
            git_ref,
            config,
        } => explain(context, client, subject, git_ref, config).await?,
        CacheCommand::Rm {
            repository,
            config,
            all_configs,
            key,
        } => {
            let request = InvalidateEntryRequest {
                repository: repository.clone_url(),
                config: match all_configs {
                    true => ALL_CONFIGS.to_owned(),
                    false => config.name.to_field(),
                },
                key: key.clone(),
            };
            rm(context, client, request).await?;
        }
        CacheCommand::Stats { wide } => stats(context, client, wide.room()).await?,
        CacheCommand::Probe {
            repository,
            git_ref,
        } => return doctor::probe(context, client, repository, git_ref).await,
    }
    Ok(Exit::Ok)
}

async fn ls(
    context: &Context,
    mut client: Client,
    repository: Option<&Repository>,
    room: Room,
) -> Result<(), CliError> {
    let page = async |page_token| {
        let request = ListEntriesRequest {
            repository: repository.map(Repository::clone_url).unwrap_or_default(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = context.answer(client.list_entries(request).await)?;
        Ok((page.entries, page.next_page_token))
    };
    let table = |rows: &[_], now: &_| cache::entries(rows, room, now);
    print_pages(context, page, table).await
}

async fn explain(
    context: &Context,
    mut client: Client,
    subject: &Subject,
    git_ref: &GitRef,
    config: &ConfigArg,
) -> Result<(), CliError> {
    let explanation = match subject {
        Subject::Repository(repository) => {
            let request = ExplainRefRequest {
                repository: repository.clone_url(),
                r#ref: git_ref.to_string(),
                config: config.name.to_field(),
            };
            context
                .answer(client.explain_ref(request).await)?
                .explanation
        }
        Subject::Workspace(_) if *git_ref != GitRef::Default || config.name.0.is_some() => {
            return Err(CliError::Usage(
                "--ref and --config can only be given with a repository, not with a workspace"
                    .into(),
            ));
        }
        Subject::Workspace(id) => {
            let request = ExplainWorkspaceRequest {
                workspace_id: id.to_string(),
            };
            context
                .answer(client.explain_workspace(request).await)?
                .explanation
        }
    };
    context.show(&explanation.unwrap_or_default(), cache::explanation)
}

async fn rm(
    context: &Context,
    mut client: Client,
    request: InvalidateEntryRequest,
) -> Result<(), CliError> {
    let dropped = context.answer(client.invalidate_entry(request).await)?;
    if context.json.is_none() {
        for warning in &dropped.warnings {
            out::note(&format!("warning: {}", printable_line(warning)));
        }
    }
    context.show(&dropped, |dropped| {
        cache::entries(&dropped.entries, Room::Fitted, &now())
    })
}

async fn stats(context: &Context, mut client: Client, room: Room) -> Result<(), CliError> {
    let stats = context.answer(client.get_stats(GetStatsRequest {}).await)?;
    context.show(&stats, |stats| cache::stats(stats, room))
}
