//! `hearth secret …`

use hearth_api::v1::{
    DeleteSecretRequest, ListSecretsRequest, SetSecretRequest,
    secret_service_client::SecretServiceClient,
};

use super::{
    context::Context,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{args::SecretCommand, error::CliError, exit::Exit, render::access, secret_value};

pub(super) async fn secrets(context: &Context, command: &SecretCommand) -> Result<Exit, CliError> {
    match command {
        SecretCommand::Set {
            secret,
            repositories,
            value_file,
            all_refs,
        } => {
            // Before the connection: it may be asked for.
            let value = secret_value::read(value_file.as_deref())?;
            let mut client = SecretServiceClient::new(context.connect().await?);
            let request = SetSecretRequest {
                name: secret.to_string(),
                repositories: repositories.to_string(),
                value: value.expose().to_owned(),
                all_refs: *all_refs,
            };
            let set = context.answer(client.set_secret(request).await)?;
            context.show(&set, |_| format!("set {secret} for {repositories}"))?;
        }
        SecretCommand::Ls { wide } => {
            let client = SecretServiceClient::new(context.connect().await?);
            let page = async |page_token| {
                let request = ListSecretsRequest {
                    page_size: PAGE_SIZE,
                    page_token,
                };
                let page = context.answer(client.clone().list_secrets(request).await)?;
                Ok((page.secrets, page.next_page_token))
            };
            let table = |rows: &[_], now: &_| access::secrets(rows, wide.room(), now);
            print_pages(context, page, table).await?;
        }
        SecretCommand::Rm {
            secret,
            repositories,
        } => {
            let mut client = SecretServiceClient::new(context.connect().await?);
            let request = DeleteSecretRequest {
                name: secret.to_string(),
                repositories: repositories.to_string(),
            };
            let deleted = context.answer(client.delete_secret(request).await)?;
            context.show(&deleted, |_| format!("deleted {secret} for {repositories}"))?;
        }
    }
    Ok(Exit::Ok)
}
