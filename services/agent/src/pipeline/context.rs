use std::path::{Path, PathBuf};

use hearth_domain::CommitHash;

use super::{job::Job, node::NodeFacts};
use crate::{attempt::Recorder, credentials::Logins, external::Externals, scratch::Scratch};

/// Everything that a step works with.
pub struct Context<'a> {
    /// What was requested.
    pub job: &'a Job,
    /// The node that it runs on.
    pub node: &'a NodeFacts,
    /// Everything outside of the agent that it works with.
    pub externals: &'a Externals,
    /// Writes the attempt's log.
    pub recorder: &'a Recorder,
    /// Private folder of the attempt.
    pub scratch: &'a Scratch,
    /// Its logins.
    pub logins: &'a Logins,
    /// Folder of the workspace that its container sees, so that git in it can log in. `None` where git needs no login.
    pub git_access: Option<&'a Path>,
}

/// The repository, cloned into the workspace's volume.
#[derive(Debug)]
pub struct Checkout {
    /// Where the volume is on the node.
    pub volume: PathBuf,
    /// The clone's folder in it, named like the repository.
    pub folder: PathBuf,
    /// The commit that is checked out.
    pub commit: CommitHash,
}
