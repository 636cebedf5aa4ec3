//! `hearth doctor` and `hearth cache probe`

use hearth_api::v1::{
    AccessCheckStatus, GetCallerRequest, ListNodesRequest, ListNodesResponse, Node, NodeState,
    ProbeAccessRequest, ProbeAccessResponse, cache_service_client::CacheServiceClient,
    client_service_client::ClientServiceClient, node_service_client::NodeServiceClient,
};
use hearth_domain::Repository;
use tonic::Code;

use super::context::Context;
use crate::{
    args::ProbeRef,
    connect::Channel,
    error::CliError,
    exit::Exit,
    out,
    render::{
        access,
        findings::{Finding, findings},
    },
};

/// Checks the control plane, its nodes, and a repository if one is given.
pub(super) async fn doctor(
    context: &Context,
    repository: Option<&Repository>,
    git_ref: &ProbeRef,
) -> Result<Exit, CliError> {
    let channel = context.connect().await?;
    let mut client = NodeServiceClient::new(channel.clone());
    let listed = context.answer(client.list_nodes(ListNodesRequest {}).await)?;
    if let Some(json) = &context.json {
        json.print_all(&listed.nodes)?;
    }
    let control_plane = control_plane(&context.target.address.to_string(), &listed);
    let mut all = vec![control_plane];
    all.extend(who(context, channel.clone()).await?);
    all.push(nodes(&listed.nodes));
    let mut summary = None;
    if let Some(repository) = repository {
        let client = CacheServiceClient::new(channel);
        let answer = ask(context, client, repository, git_ref).await?;
        if let Some(json) = &context.json {
            json.print(&answer)?;
        }
        all.extend(answer.checks.iter().map(Finding::from));
        summary = Some(answer.summary);
    }
    if context.json.is_none() {
        out::print(&findings(&all, summary.as_deref()))?;
    }
    Ok(exit(&all))
}

/// Checks access to a repository and its cache.
pub(super) async fn probe(
    context: &Context,
    client: CacheServiceClient<Channel>,
    repository: &Repository,
    git_ref: &ProbeRef,
) -> Result<Exit, CliError> {
    let answer = ask(context, client, repository, git_ref).await?;
    let all: Vec<Finding> = answer.checks.iter().map(Finding::from).collect();
    context.show(&answer, |answer| findings(&all, Some(&answer.summary)))?;
    Ok(exit(&all))
}

async fn ask(
    context: &Context,
    mut client: CacheServiceClient<Channel>,
    repository: &Repository,
    git_ref: &ProbeRef,
) -> Result<ProbeAccessResponse, CliError> {
    let request = ProbeAccessRequest {
        repository: repository.clone_url(),
        r#ref: git_ref.name.to_string(),
    };
    context.answer(client.probe_access(request).await)
}

/// Who calls, and what they may. An older control plane does not say.
async fn who(context: &Context, channel: Channel) -> Result<Option<Finding>, CliError> {
    let mut client = ClientServiceClient::new(channel);
    let answer = client.get_caller(GetCallerRequest {}).await;
    if matches!(&answer, Err(status) if status.code() == Code::Unimplemented) {
        return Ok(None);
    }
    let answer = context.answer(answer)?;
    if let Some(json) = &context.json {
        json.print(&answer)?;
    }
    Ok(Some(Finding {
        what: "access".to_owned(),
        status: AccessCheckStatus::Ok.into(),
        message: access::caller(&answer),
    }))
}

fn control_plane(address: &str, listed: &ListNodesResponse) -> Finding {
    let (status, message) = match &*listed.problem {
        "" => {
            // The first digits tell it from others.
            let id: String = listed.control_plane_id.chars().take(8).collect();
            let database = match &*id {
                "" => String::new(),
                id => format!(", with database {id}"),
            };
            (
                AccessCheckStatus::Ok,
                format!("{address} answers{database}"),
            )
        }
        problem => (
            AccessCheckStatus::Failed,
            format!("{address} answers, and takes no work: {problem}"),
        ),
    };
    Finding {
        what: "control plane".to_owned(),
        status: status.into(),
        message,
    }
}

fn nodes(nodes: &[Node]) -> Finding {
    let (online, lost): (Vec<_>, Vec<_>) = nodes
        .iter()
        .partition(|node| node.state() == NodeState::Online);
    let lost: Vec<String> = lost
        .iter()
        .map(|node| match node.state() {
            NodeState::Unavailable => {
                let problem = node.info.as_ref().map_or("", |info| &info.problem);
                format!("{} ({problem})", node.name)
            }
            NodeState::Expected => format!(
                "{} (not heard of since the control plane was started)",
                node.name
            ),
            _ => node.name.clone(),
        })
        .collect();
    let message = match (online.len(), lost.is_empty()) {
        (0, true) => "no node has ever registered; start hearth-agent on one".to_owned(),
        (0, false) => format!("no node is online; lost: {}", lost.join(", ")),
        (online, true) => format!("{online} online"),
        (online, false) => format!("{online} online; lost: {}", lost.join(", ")),
    };
    let quarantined: usize = nodes.iter().map(|node| node.quarantined.len()).sum();
    let status = match (online.is_empty(), lost.is_empty() && quarantined == 0) {
        (true, _) => AccessCheckStatus::Failed,
        (false, false) => AccessCheckStatus::Warning,
        (false, true) => AccessCheckStatus::Ok,
    };
    let message = match quarantined {
        0 => message,
        _ => format!(
            "{message}; {quarantined} workspaces on them are not known to this control plane, `hearth nodes` lists them"
        ),
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
        true => Exit::CheckFailed,
        false => Exit::Ok,
    }
}
