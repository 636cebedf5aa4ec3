//! The hearth agent: prepares and runs workspaces on one node.
//!
//! [`app`] puts it together, [`pipeline`] is what an attempt does, [`parties`] are those it works with.

pub mod app;
pub mod attempt;
pub mod buildkit;
pub mod config;
pub mod credentials;
pub mod disk;
pub mod key;
mod metrics;
pub mod parties;
pub mod pipeline;
mod registration;
mod service;
pub mod settings;
mod sweep;
