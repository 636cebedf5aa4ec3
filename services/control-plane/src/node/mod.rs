//! The nodes and their agents: which of them are alive, who speaks for them, and the connections to them.

mod agents;
mod fleet;
mod nodes;
mod sessions;

pub(crate) use agents::{Agents, Verdict, verdict, within};
pub(crate) use fleet::{Fleet, Gone, NodeView, Standing};
pub(crate) use nodes::Nodes;
pub(crate) use sessions::Sessions;
