//! `hearth cache …`

use hearth_api::v1::{
    ExplainRefRequest, ExplainWorkspaceRequest, GetStatsRequest, InvalidateEntryRequest,
    ListEntriesRequest, cache_service_client::CacheServiceClient,
};
use tonic::transport::Channel;

use super::{
    Context, doctor,
    simple::{PAGE, now},
};
use crate::{
    args::CacheCommand,
    connect::connect,
    error::CliError,
    exit::Exit,
    render::{cache, clean::line},
};

/// Stands for all configurations in the contract.
const ALL_CONFIGS: &str = "*";

pub(super) async fn cache(context: &Context<'_>, command: &CacheCommand) -> Result<Exit, CliError> {
    let client = CacheServiceClient::new(connect(&context.cli.control_plane).await?);
    match command {
        CacheCommand::Ls { repository } => ls(context, client, repository).await,
        CacheCommand::Explain {
            what,
            git_ref,
            config,
        } => explain(context, client, what, git_ref, config).await,
        CacheCommand::Rm {
            repository,
            config,
            all_configs,
            key,
        } => {
            let config = if *all_configs { ALL_CONFIGS } else { config };
            let request = InvalidateEntryRequest {
                repository: repository.clone(),
                config: config.to_owned(),
                key: key.clone(),
            };
            rm(context, client, request).await
        }
        CacheCommand::Stats => stats(context, client).await,
        CacheCommand::Probe {
            repository,
            git_ref,
        } => doctor::probe(context, client, repository, &git_ref.name).await,
    }
}

type Client = CacheServiceClient<Channel>;

async fn ls(context: &Context<'_>, mut client: Client, repository: &str) -> Result<Exit, CliError> {
    let json = context.json()?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEntriesRequest {
            repository: repository.to_owned(),
            page_size: PAGE,
            page_token,
        };
        let page = context.answer(client.list_entries(request).await)?;
        match &json {
            Some(json) => {
                for entry in &page.entries {
                    context.print_json(json, entry)?;
                }
            }
            // Columns are as wide as their widest cell, so a table needs all of them.
            None => all.extend(page.entries),
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if json.is_none() {
        context.out.print(&cache::entries(&all, &now()))?;
    }
    Ok(Exit::Ok)
}

async fn explain(
    context: &Context<'_>,
    mut client: Client,
    what: &str,
    git_ref: &str,
    config: &str,
) -> Result<Exit, CliError> {
    let json = context.json()?;
    let explanation = if is_repository(what) {
        let request = ExplainRefRequest {
            repository: what.to_owned(),
            r#ref: git_ref.to_owned(),
            config: config.to_owned(),
        };
        let response = context.answer(client.explain_ref(request).await)?;
        response.explanation
    } else if git_ref.is_empty() && config.is_empty() {
        let request = ExplainWorkspaceRequest {
            workspace_id: what.to_owned(),
        };
        let response = context.answer(client.explain_workspace(request).await)?;
        response.explanation
    } else {
        return Err(CliError::Usage(
            "--ref and --config belong to a repository; a workspace has its own".into(),
        ));
    };
    let explanation = explanation.unwrap_or_default();
    match json {
        Some(json) => context.print_json(&json, &explanation)?,
        None => context.out.print(&cache::explanation(&explanation))?,
    }
    Ok(Exit::Ok)
}

/// Ids of workspaces are lower-case letters, digits and dashes; no address of a repository is without one of these.
fn is_repository(what: &str) -> bool {
    what.contains([':', '/'])
}

async fn rm(
    context: &Context<'_>,
    mut client: Client,
    request: InvalidateEntryRequest,
) -> Result<Exit, CliError> {
    let json = context.json()?;
    let dropped = context.answer(client.invalidate_entry(request).await)?;
    match json {
        Some(json) => context.print_json(&json, &dropped)?,
        None => {
            for warning in &dropped.warnings {
                context.out.note(&format!("warning: {}", line(warning)));
            }
            context
                .out
                .print(&cache::entries(&dropped.entries, &now()))?;
        }
    }
    Ok(Exit::Ok)
}

async fn stats(context: &Context<'_>, mut client: Client) -> Result<Exit, CliError> {
    let json = context.json()?;
    let stats = context.answer(client.get_stats(GetStatsRequest {}).await)?;
    match json {
        Some(json) => context.print_json(&json, &stats)?,
        None => context.out.print(&cache::stats(&stats))?,
    }
    Ok(Exit::Ok)
}
