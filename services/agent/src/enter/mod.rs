//! Entering a workspace: commands in its container, an SSH server for it, and connections to its ports. All of them run in the
//! container as the remote user (or as whom the client names), started by the engine: nothing is asked of the image.

mod account;
mod connect;
mod container;
mod environment;
mod error;
mod exec;
mod host_key;
mod pieces;
mod session;
mod sessions;
mod ssh;
mod target;

pub use container::Entering;
pub use error::EnterError;
pub use target::{Target, command};

/// Bytes of the largest message.
pub const MAX_CHUNK: usize = 64 * 1024;
