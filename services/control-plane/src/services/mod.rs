//! The services of the contract: they convert messages to values and back, report malformed fields, and authenticate
//! agents; clients are let in by the layer of [`crate::access`]. The work is done in the rooms below.

mod agent_registry;
mod cache;
mod cache_index;
mod caller;
mod clients;
mod credentials;
mod enrolment;
mod enter;
mod join_tokens;
mod nodes;
mod page_tokens;
mod paging;
mod responses;
mod routes;
mod secrets;
mod selection;
mod validate;
mod workspaces;

pub(crate) use caller::identify;
pub(crate) use page_tokens::PageTokens;
pub(crate) use routes::{Served, routes};
