//! Secrets that the control plane gives to workspaces of some repositories: encrypted in the store, in clear only on their way
//! to the node that a workspace runs on.

mod granted;
mod keys;
mod seal;

pub(crate) use granted::Secrets;
pub(crate) use keys::SecretKeys;
