//! Who this node is to the control plane: its key, which never leaves it, and a certificate, which it joins for once and renews
//! from then on.

mod args;
mod files;
mod join;
mod join_token;
mod joining;
mod keeper;

pub use args::JoinArgs;
pub use join::reach;
pub(crate) use join_token::JoinToken;
