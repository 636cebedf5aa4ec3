//! The steps of an attempt: from the request to a ready workspace, and then the push of its image into the cache.
//!
//! ```text
//!  validate ── clone ── key ── resolve ── image ── container ── READY ── push
//!           │                    │          ▲
//!           │                    └── hit ── fetch, or build if the fetch fails
//!           └── prefetch of the repository's newest image
//! ```
//!
//! [`Runner`] runs an attempt; `prepare.rs` orders the steps, and each step has a file. A step that returns
//! `Result<_, Failure>` can fail the attempt. The steps of the cache cannot: their return types have no error.

mod audit;
mod beside;
mod build_folder;
mod builder;
mod clone;
pub(crate) mod compose;
mod container;
mod context;
mod diagnosis;
mod disks;
mod failure;
pub(crate) mod git_mount;
mod halts;
mod hook_log;
mod hook_runner;
pub(crate) mod hook_sentences;
mod hooks;
mod image;
mod initialize;
mod job;
mod kept_clone;
mod key;
mod last_good;
mod node;
mod override_config;
pub(crate) mod owner;
pub mod post_attach;
mod prefetch;
mod prepare;
mod pull;
mod push;
mod rebuild;
mod recovery;
mod recovery_note;
mod resolve;
mod run;
mod sources;
mod start;
mod subject;
mod up;
mod usable;
mod validate;

pub use halts::Halts;
pub use image::unchanged as unchanged_image;
pub use job::{CacheUse, Job, StartTarget};
pub use key::RegistryResolver;
pub use node::NodeFacts;
pub use run::Runner;

#[cfg(test)]
pub(crate) mod fake;
