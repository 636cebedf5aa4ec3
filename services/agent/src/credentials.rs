//! Logins: how an attempt gets them, and how git in a workspace and docker on the node do.
//!
//! [`Logins`] asks the control plane and keeps the answer in memory while it lives. Programs that need a login call the
//! credential helper (`credential-helper/main.rs`), which asks [`serve`] at a Unix socket; there
//! is one for each attempt, and one in the folder of each workspace ([`GitAccess`]). No login is ever written to a file.

mod again;
mod folder;
mod git_access;
mod held;
mod helper;
mod logins;
mod question;
mod socket;

pub use again::with_login;
pub use folder::MOUNT_POINT;
pub(crate) use folder::git_settings;
pub use git_access::GitAccess;
pub use helper::{DOCKER_HELPER, DOCKER_HELPER_NAME, SOCKET_VARIABLE, write_helper};
pub use logins::Logins;
pub use question::{Asker, GitRemote};
pub use socket::{bind, serve};

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../credential-helper/main.rs"]
mod helper_source;
