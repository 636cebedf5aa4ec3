//! `hearth doctor` and `hearth cache probe`: what works and what does not.

use hearth_api::v1::{
    AccessCheckStatus, ListNodesRequest, Node, NodeState, ProbeAccessRequest, ProbeAccessResponse,
    cache_service_client::CacheServiceClient, node_service_client::NodeServiceClient,
};
use tonic::transport::Channel;

use super::Context;
use crate::{
    connect::connect,
    error::CliError,
    exit::Exit,
    render::findings::{Finding, findings},
};

/// Looks at the control plane, its nodes, and a repository if there is one.
pub(super) async fn doctor(
    context: &Context<'_>,
    repository: Option<&str>,
    git_ref: &str,
) -> Result<Exit, CliError> {
    let json = context.json()?;
    let channel = connect(&context.cli.control_plane).await?;
    let mut client = NodeServiceClient::new(channel.clone());
    let listed = context.answer(client.list_nodes(ListNodesRequest {}).await)?;
    if let Some(json) = &json {
        for node in &listed.nodes {
            context.print_json(json, node)?;
        }
    }
    let mut all = vec![
        Finding::ok(
            "control plane",
            format!("{} answers", context.cli.control_plane),
        ),
        nodes(&listed.nodes),
    ];
    let mut summary = None;
    if let Some(repository) = repository {
        let answer = ask(
            context,
            CacheServiceClient::new(channel),
            repository,
            git_ref,
        )
        .await?;
        if let Some(json) = &json {
            context.print_json(json, &answer)?;
        }
        all.extend(answer.checks.iter().map(Finding::from));
        summary = Some(answer.summary);
    }
    if json.is_none() {
        context.out.print(&findings(&all, summary.as_deref()))?;
    }
    Ok(exit(&all))
}

/// Tries access to a repository and its cache.
pub(super) async fn probe(
    context: &Context<'_>,
    client: CacheServiceClient<Channel>,
    repository: &str,
    git_ref: &str,
) -> Result<Exit, CliError> {
    let json = context.json()?;
    let answer = ask(context, client, repository, git_ref).await?;
    let all: Vec<Finding> = answer.checks.iter().map(Finding::from).collect();
    match json {
        Some(json) => context.print_json(&json, &answer)?,
        None => context
            .out
            .print(&findings(&all, Some(answer.summary.as_str())))?,
    }
    Ok(exit(&all))
}

async fn ask(
    context: &Context<'_>,
    mut client: CacheServiceClient<Channel>,
    repository: &str,
    git_ref: &str,
) -> Result<ProbeAccessResponse, CliError> {
    let request = ProbeAccessRequest {
        repository: repository.to_owned(),
        r#ref: git_ref.to_owned(),
    };
    context.answer(client.probe_access(request).await)
}

fn nodes(nodes: &[Node]) -> Finding {
    let (online, away): (Vec<_>, Vec<_>) = nodes
        .iter()
        .partition(|node| node.state() == NodeState::Online);
    let away: Vec<&str> = away.iter().map(|node| node.name.as_str()).collect();
    let message = match (online.len(), away.is_empty()) {
        (0, true) => "no node has ever registered: start hearth-agent on one".to_owned(),
        (0, false) => format!("none is online; lost: {}", away.join(", ")),
        (online, true) => format!("{online} online"),
        (online, false) => format!("{online} online; lost: {}", away.join(", ")),
    };
    let status = match (online.is_empty(), away.is_empty()) {
        (true, _) => AccessCheckStatus::Failed,
        (false, false) => AccessCheckStatus::Warning,
        (false, true) => AccessCheckStatus::Ok,
    };
    Finding {
        what: "nodes".to_owned(),
        status: status.into(),
        message,
    }
}

fn exit(findings: &[Finding]) -> Exit {
    match findings
        .iter()
        .any(|finding| finding.status == i32::from(AccessCheckStatus::Failed))
    {
        true => Exit::Unwell,
        false => Exit::Ok,
    }
}
