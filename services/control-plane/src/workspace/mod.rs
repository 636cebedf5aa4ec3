//! Workspaces from the request to the deletion: every change goes through the journal, a driver has each attempt prepared by
//! its node's agent, and what a restart interrupts is resumed.

mod build_log;
mod default_images;
mod deletion;
mod dispatch;
mod driver;
mod drivers;
mod driving;
mod feeds;
mod host_access;
mod journal;
mod keeper;
mod lifetime;
mod phase;
mod preparing;
mod recovery;
mod seen;
mod stopping;
mod streams;
mod uses;
mod watching;

pub use default_images::{DefaultImages, DefaultImagesParseError};
pub use host_access::{HostAccessParseError, HostAccessRules};
pub use lifetime::LifetimeArgs;

pub(crate) use build_log::BuildLogs;
pub(crate) use deletion::Deletions;
pub(crate) use drivers::Drivers;
pub(crate) use driving::Driving;
pub(crate) use feeds::Feeds;
pub(crate) use journal::Journal;
pub(crate) use keeper::Keeper;
pub(crate) use preparing::{Prepared, Wanted, What, Workspaces};
pub(crate) use recovery::Recovery;
pub(crate) use seen::seen;
pub(crate) use stopping::Stops;
pub(crate) use streams::Stream;
pub(crate) use uses::{Use, Uses};
pub(crate) use watching::{Begin, Until, Watcher, Watching};
