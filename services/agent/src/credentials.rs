//! Logins of attempts, of git in workspaces, and of docker on the node.
//!
//! [`Logins`] asks the control plane and keeps the answer in memory until it expires. Programs that need a login call the
//! credential helper, which connects to a Unix socket that [`serve`] answers: each attempt has one, and the folder of each
//! workspace ([`GitAccess`]). No login is ever written to a file.

mod cached_login;
mod git_access;
mod git_remote;
mod logins;
mod protocol;
mod retry;
mod socket;
mod workspace_folder;

pub use git_access::GitAccess;
pub use git_remote::GitRemote;
pub use logins::Logins;
pub use protocol::Protocol;
pub use retry::with_login;
pub use socket::{bind, serve};
pub(crate) use workspace_folder::git_settings;
pub use workspace_folder::{HELPER_PATH, MOUNT_POINT};

#[cfg(test)]
pub(crate) mod fake;
