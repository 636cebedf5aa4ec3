//! `hearth client …`

use hearth_api::v1::{
    ClientScope, CreateClientRequest, ListClientsRequest, RevokeClientRequest,
    client_service_client::ClientServiceClient,
};
use hearth_domain::Scope;

use super::{
    context::Context,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{args::ClientCommand, error::CliError, exit::Exit, out, render::access};

/// Seconds of a day.
const DAY: u64 = 86_400;

pub(super) async fn clients(context: &Context, command: &ClientCommand) -> Result<Exit, CliError> {
    let mut client = ClientServiceClient::new(context.connect().await?);
    match command {
        ClientCommand::Create {
            client: name,
            scopes,
            repositories,
            days,
        } => {
            let scopes = scopes.iter().map(|scope| match scope {
                Scope::Read => ClientScope::Read,
                Scope::Prepare => ClientScope::Prepare,
                Scope::Exec => ClientScope::Exec,
                Scope::Admin => ClientScope::Admin,
            });
            let request = CreateClientRequest {
                name: name.to_string(),
                scopes: scopes.map(Into::into).collect(),
                repositories: repositories.iter().map(str::to_owned).collect(),
                // At most ten years.
                valid_seconds: u32::try_from(days.0 * DAY).unwrap_or(u32::MAX),
            };
            let created = context.answer(client.create_client(request).await)?;
            if context.json.is_none() {
                let made = created.client.clone().unwrap_or_default();
                out::note(&format!(
                    "hearth: made {}\n  its token is printed once: keep it in a file that others cannot read",
                    access::described(&made)
                ));
            }
            context.show(&created, |created| created.token.clone())?;
        }
        ClientCommand::Ls { wide } => {
            let page = async |page_token| {
                let request = ListClientsRequest {
                    page_size: PAGE_SIZE,
                    page_token,
                };
                let page = context.answer(client.list_clients(request).await)?;
                Ok((page.clients, page.next_page_token))
            };
            let table = |rows: &[_], now: &_| access::clients(rows, wide.room(), now);
            print_pages(context, page, table).await?;
        }
        ClientCommand::Revoke { client: name } => {
            let request = RevokeClientRequest {
                name: name.to_string(),
            };
            let revoked = context.answer(client.revoke_client(request).await)?;
            context.show(&revoked, |_| format!("revoked {name}"))?;
        }
    }
    Ok(Exit::Ok)
}
