//! Nodes and their agents: which are online, how agents prove which node they are on, and the connections to them.

mod agents;
mod fleet;
mod nodes;
mod placement;
mod sessions;

pub(crate) use agents::{AgentClient, Agents, Verdict, calls_again, verdict, within};
pub(crate) use fleet::{Fleet, Gone, NodeView, Standing, Unusable};
pub(crate) use nodes::Nodes;
pub(crate) use sessions::{Sessions, new_token};
