use prost::{Message, Name};
use prost_types::Timestamp;

use super::context::{Context, now};
use crate::{error::CliError, out};

/// The largest page of the contract, so that a long list takes few calls.
pub(super) const PAGE_SIZE: u32 = 1000;

/// Prints a list that comes in pages. `page` fetches the page of a token, and returns it with the token of the next;
/// an empty token stands for the first page, and for the end.
pub(super) async fn print_pages<M: Message + Name>(
    context: &Context,
    mut page: impl AsyncFnMut(String) -> Result<(Vec<M>, String), CliError>,
    table: impl FnOnce(&[M], &Timestamp) -> String,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let (messages, next) = page(token).await?;
        match &context.json {
            Some(json) => json.print_all(&messages)?,
            // A column is as wide as its widest cell, so a table needs all rows.
            None => rows.extend(messages),
        }
        if next.is_empty() {
            break;
        }
        token = next;
    }
    match context.json {
        Some(_) => Ok(()),
        None => out::print(&table(&rows, &now())),
    }
}
