//! Tries what preparing a repository needs, and says in plain words what is missing.

mod access;
mod attempt_logins;
mod findings;
mod git;
mod once;
mod registry;

pub(crate) use access::Probe;
pub(crate) use attempt_logins::{AttemptLogins, Purpose};
pub(crate) use once::ProbeOnce;
