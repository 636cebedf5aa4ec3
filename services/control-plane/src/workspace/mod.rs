//! The life of a workspace, from the request to its deletion: every change goes through the journal, a driver hands each
//! attempt to its node's agent and follows it, and what a restart interrupts is taken up again.

mod deletion;
mod driver;
mod drivers;
mod feeds;
mod journal;
mod preparing;
mod recovery;
mod watching;

pub(crate) use deletion::Deletions;
pub(crate) use driver::Driving;
pub(crate) use drivers::Drivers;
pub(crate) use feeds::Feeds;
pub(crate) use journal::Journal;
pub(crate) use preparing::{Prepared, Wanted, What, Workspaces};
pub(crate) use recovery::Recovery;
pub(crate) use watching::{Begin, Until, Watcher, Watching};
