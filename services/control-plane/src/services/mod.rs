//! The services of the contract: they convert messages to values and back, report malformed fields, and authenticate
//! callers. The work is done in the rooms below.

mod agent_registry;
mod cache;
mod cache_index;
mod caller;
mod credentials;
mod enrolment;
mod join_tokens;
mod nodes;
mod paging;
mod routes;
mod validate;
mod workspaces;

pub(crate) use routes::{Served, routes};
