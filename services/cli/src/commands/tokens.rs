use hearth_api::v1::{
    CreateJoinTokenRequest, ListJoinTokensRequest, RevokeJoinTokenRequest,
    join_token_service_client::JoinTokenServiceClient,
};
use hearth_domain::text::printable_line;

use super::context::{Context, now};
use crate::{args::TokenCommand, error::CliError, exit::Exit, out, render::tokens};

/// `hearth token`
pub(super) async fn token(context: &Context, command: &TokenCommand) -> Result<Exit, CliError> {
    let mut client = JoinTokenServiceClient::new(context.connect().await?);
    match command {
        TokenCommand::Create {
            uses,
            hours,
            nodes,
            description,
        } => {
            let request = CreateJoinTokenRequest {
                uses: Some(u32::try_from(uses.0).unwrap_or(u32::MAX)),
                hours: u32::try_from(hours.0).unwrap_or(u32::MAX),
                nodes: nodes.clone(),
                description: description.clone(),
            };
            let created = context.answer(client.create_join_token(request).await)?;
            // Alone on stdout: it is written to a file. It is not shown again.
            context.show(&created, |created| created.join_token.clone())?;
        }
        TokenCommand::Ls => {
            let listed = client.list_join_tokens(ListJoinTokensRequest {}).await;
            let listed = context.answer(listed)?.tokens;
            match &context.json {
                Some(json) => json.print_all(&listed)?,
                None => out::print(&tokens::table(&listed, &now()))?,
            }
        }
        TokenCommand::Revoke { id } => {
            let request = RevokeJoinTokenRequest { id: id.clone() };
            let revoked = context.answer(client.revoke_join_token(request).await)?;
            context.show(&revoked, |_| format!("revoked {}", printable_line(id)))?;
        }
    }
    Ok(Exit::Ok)
}
