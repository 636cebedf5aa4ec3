use std::{fmt, str::FromStr, time::Duration};

use crate::{ConfigName, GitOptions, GitRef, Repository};

/// Name of a workspace: 1 to 63 lower-case letters, digits and dashes, no dash at its start. It becomes part of the
/// names of volumes, containers and folders.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(String);

/// The text is not the id of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 lower-case letters, digits and dashes, with no dash at its start")]
pub struct WorkspaceIdError;

impl WorkspaceId {
    /// The id `ws-` and the lower 48 bits of `number` in hex.
    pub fn from_number(number: u64) -> Self {
        Self(format!("ws-{:012x}", number & 0xffff_ffff_ffff))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkspaceId {
    type Err = WorkspaceIdError;

    fn from_str(text: &str) -> Result<Self, WorkspaceIdError> {
        let good = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=63).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(WorkspaceIdError)
        }
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One attempt at preparing a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptRef {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Number of the attempt, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of workspace {}", self.number, self.workspace)
    }
}

/// What a workspace is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Where the repository is.
    pub repository: Repository,
    /// What of it is checked out.
    pub git_ref: GitRef,
    /// The devcontainer configuration; `None`: the default one.
    pub config: Option<ConfigName>,
    /// Leave the project's own devcontainer aside and use the default image.
    pub lightweight: bool,
    /// What the request allows with the repository's cache.
    pub cache_access: CacheAccess,
    /// How long an attempt may take until it is ready; `None`: the agent's default.
    pub time_limit: Option<Duration>,
    /// How the repository is cloned.
    pub git: GitOptions,
    /// What the workspace becomes when its own devcontainer fails.
    pub fallback: Fallback,
}

impl Spec {
    /// The configuration's name; empty for the default one.
    pub fn config_text(&self) -> &str {
        self.config.as_ref().map_or("", ConfigName::as_str)
    }
}

/// What a workspace becomes when its own devcontainer fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// It runs the default image.
    #[default]
    DefaultImage,
    /// It runs the newest image of its configuration that the cache has; without one the default image.
    LastGood,
    /// It has failed.
    None,
}

/// What an attempt may do with a repository's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheAccess {
    /// Fetch from it and push to it.
    #[default]
    ReadWrite,
    /// Fetch from it only.
    ReadOnly,
    /// Do not use it.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_safe_in_the_name_of_a_volume_a_container_and_a_folder() {
        for good in ["ws-8df505e0b1e7", "a", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<WorkspaceId>().unwrap().as_str(), good);
        }
        let made = WorkspaceId::from_number(0xffff_0000_0000_00ab);
        assert_eq!(made.as_str(), "ws-0000000000ab");
        assert_eq!(made.as_str().parse(), Ok(made.clone()));
        for bad in ["", "-a", "../x", "a/b", "A", "a b", "ä", &"x".repeat(64)] {
            assert_eq!(bad.parse::<WorkspaceId>(), Err(WorkspaceIdError), "{bad}");
        }
    }
}
