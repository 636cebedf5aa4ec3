//! `hearth login` and `hearth context …`

use hearth_api::v1::{GetCallerRequest, client_service_client::ClientServiceClient};
use hearth_domain::Name;

use super::context::Context;
use crate::{
    address::Address,
    args::ContextCommand,
    contexts::{Contexts, SavedContext},
    error::CliError,
    exit::Exit,
    out,
    render::{access, table},
};

/// Asks the control plane who the token is, and saves both.
pub(super) async fn login(context: &Context) -> Result<Exit, CliError> {
    // First: what cannot be read cannot be added to.
    let mut contexts = Contexts::read()?;
    let target = &context.target;
    let mut client = ClientServiceClient::new(context.connect().await?);
    let caller = client.get_caller(GetCallerRequest {}).await;
    let caller = context.answer(caller)?;
    let name = match &context.named {
        Some(name) => name.clone(),
        None => default_name(&target.address)?,
    };
    let saved = SavedContext {
        address: target.address.clone(),
        token: target.token.clone(),
        ca: target.ca.clone(),
    };
    contexts.all.insert(name.clone(), saved);
    contexts.current = Some(name.clone());
    contexts.write()?;
    context.show(&caller, |caller| {
        let who = access::caller(caller);
        format!(
            "{} is used from now on, as context {name}: {who}",
            target.address
        )
    })?;
    Ok(Exit::Ok)
}

/// The place, as far as a name can say it.
fn default_name(address: &Address) -> Result<Name, CliError> {
    let place = match address.uri.port_u16() {
        Some(port) => format!("{}-{port}", address.host()),
        None => address.host().to_owned(),
    };
    let fitting = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '-') => c,
        _ => '-',
    };
    let name: String = place.chars().map(fitting).collect();
    name.parse().map_err(|_| {
        CliError::Usage(format!(
            "name the context with --context: {name} is no name for one"
        ))
    })
}

/// `hearth context …`, which calls nobody.
pub(super) fn context(command: &ContextCommand) -> Result<Exit, CliError> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::Ls => {
            let rows = contexts.all.iter().map(|(name, context)| {
                let star = match contexts.current.as_ref() == Some(name) {
                    true => "*",
                    false => "",
                };
                let token = match context.token {
                    Some(_) => "yes",
                    None => "no",
                };
                [
                    name.to_string(),
                    context.address.to_string(),
                    token.to_owned(),
                    star.to_owned(),
                ]
            });
            let head = ["NAME", "CONTROL PLANE", "TOKEN", "IN USE"];
            out::print(&table::table(head, rows))?;
        }
        ContextCommand::Use { context: name } => {
            contexts.named(name, "NAME")?;
            contexts.current = Some(name.clone());
            contexts.write()?;
            out::print(&format!("{name} is used from now on"))?;
        }
        ContextCommand::Rm { context: name } => {
            contexts.named(name, "NAME")?;
            contexts.all.remove(name);
            contexts.current.take_if(|current| current == name);
            contexts.write()?;
            out::print(&format!("removed {name}"))?;
        }
    }
    Ok(Exit::Ok)
}
