use std::path::{Path, PathBuf};

use hearth_domain::CommitHash;

use super::{job::Job, node::NodeFacts};
use crate::{attempt::Recorder, credentials::Logins, external::Externals, scratch::Scratch};

/// What the steps of an attempt work with.
pub struct Context<'a> {
    /// The request.
    pub job: &'a Job,
    /// Facts about the node.
    pub node: &'a NodeFacts,
    /// Everything outside of the agent.
    pub externals: &'a Externals,
    /// Writes the attempt's log.
    pub recorder: &'a Recorder,
    /// Private folder of the attempt.
    pub scratch: &'a Scratch,
    /// Its logins.
    pub logins: &'a Logins,
    /// Folder that is mounted into the container, so that git in it can log in. `None` if git needs no login.
    pub git_access: Option<&'a Path>,
}

/// The repository, cloned into the workspace's volume.
#[derive(Debug)]
pub struct Checkout {
    /// Folder of the volume on the node.
    pub volume: PathBuf,
    /// The clone's folder in it, named like the repository.
    pub folder: PathBuf,
    /// The commit that is checked out; `None` in a repository that has none yet.
    pub commit: Option<CommitHash>,
}
