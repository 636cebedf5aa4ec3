//! `hearth cache …`

use hearth_api::v1::{
    ExplainRefRequest, ExplainWorkspaceRequest, GetPublicKeyRequest, GetStatsRequest,
    InvalidateEntryRequest, ListEntriesRequest, VerifyCacheRequest,
    cache_service_client::CacheServiceClient,
};
use hearth_domain::{
    GitRef, Repository,
    text::{printable_line, printable_lines},
};

use super::{
    context::{Context, now},
    doctor,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{
    args::{CacheCommand, ConfigArg, Subject},
    connect::Channel,
    error::CliError,
    exit::Exit,
    out,
    render::{cache, table::Room, verified},
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
        CacheCommand::Verify { repository, repair } => {
            return verify(context, client, repository, *repair).await;
        }
        CacheCommand::PublicKey => public_key(context, client).await?,
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

/// Checks all entries; what is wrong is the exit code, too.
async fn verify(
    context: &Context,
    mut client: Client,
    repository: &Repository,
    repair: bool,
) -> Result<Exit, CliError> {
    let mut exit = Exit::Ok;
    let page = async |page_token| {
        let request = VerifyCacheRequest {
            repository: repository.clone_url(),
            page_size: 0,
            page_token,
            repair,
        };
        let page = context.answer(client.verify_cache(request).await)?;
        if page.entries.iter().any(verified::is_wrong) {
            exit = Exit::CheckFailed;
        }
        Ok((page.entries, page.next_page_token))
    };
    print_pages(context, page, |rows, _| verified::entries(rows)).await?;
    Ok(exit)
}

async fn public_key(context: &Context, mut client: Client) -> Result<(), CliError> {
    let answer = client.get_public_key(GetPublicKeyRequest {}).await;
    let answer = context.answer(answer)?;
    if answer.public_key.is_empty() {
        return Err(CliError::Local(anyhow::anyhow!(
            "the control plane signs nothing: start it with --signing-key (HEARTH_SIGNING_KEY)"
        )));
    }
    context.show(&answer, |answer| printable_lines(&answer.public_key))
}

async fn stats(context: &Context, mut client: Client, room: Room) -> Result<(), CliError> {
    let stats = context.answer(client.get_stats(GetStatsRequest {}).await)?;
    context.show(&stats, |stats| cache::stats(stats, room))
}
