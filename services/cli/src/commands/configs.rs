use hearth_api::v1::{ListConfigsRequest, workspace_service_client::WorkspaceServiceClient};
use hearth_domain::{GitRef, Repository};

use super::context::Context;
use crate::{
    error::CliError,
    exit::Exit,
    out,
    render::{configs, table::Room},
};

/// `hearth configs`
pub(super) async fn configs(
    context: &Context,
    repository: &Repository,
    git_ref: &GitRef,
    room: Room,
) -> Result<Exit, CliError> {
    let mut client = WorkspaceServiceClient::new(context.connect().await?);
    let request = ListConfigsRequest {
        repository: repository.clone_url(),
        r#ref: git_ref.to_string(),
    };
    let listed = context.answer(client.list_configs(request).await)?;
    match &context.json {
        Some(json) => json.print(&listed)?,
        None => out::print(&configs::table(&listed, room))?,
    }
    Ok(Exit::Ok)
}
