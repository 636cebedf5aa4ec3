use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use hearth_api::v1::{Failure, FailureReason};
use hearth_domain::{CommitHash, GitRef};
use tokio::time::{Instant, timeout_at};

use super::{disks::Disks, failure::failure, hooks::Hook, job::Job, node::NodeFacts};
use crate::{
    attempt::Recorder,
    clone_files::{CloneFiles, FileWork},
    credentials::Logins,
    door::OwnImages,
    external::{Externals, devcontainer::CliWorkspace, git::At},
    policy::Allowed,
    scratch::Scratch,
    secrets::HeldSecrets,
};

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
    /// What works on the files of its volume.
    pub files: &'a FileWork,
    /// Private folder of the attempt.
    pub scratch: &'a Scratch,
    /// Its logins.
    pub logins: &'a Logins,
    /// Folder that is mounted into the container, so that git in it can log in. `None` if git needs no login.
    pub git_access: Option<&'a Path>,
    /// The images that it may use.
    pub images: OwnImages,
    /// Its secrets, once hooks need them.
    pub secrets: HeldSecrets,
    /// What it may ask of the node.
    pub allowed: Allowed,
    /// The disks that it fills.
    pub disks: Disks,
    /// When the attempt has to be ready.
    pub deadline: Instant,
    /// Whether the clone in the volume is this attempt's own, which nobody has worked in yet.
    pub clone_is_new: AtomicBool,
}

impl Context<'_> {
    /// What the devcontainer CLI works on in this attempt.
    pub fn cli_workspace<'a>(&'a self, folder: &'a Path, config: &'a Path) -> CliWorkspace<'a> {
        CliWorkspace {
            folder,
            config,
            scratch: self.scratch.path(),
            workspace_id: &self.job.attempt.workspace,
        }
    }

    /// The image for a repository that names none.
    pub fn default_image(&self) -> &str {
        let own = &self.node.default_image;
        self.job.default_image.as_ref().unwrap_or(own)
    }

    /// Whether the clone is kept from an attempt before: then nothing of this attempt is pushed, and its failure leaves the
    /// clone.
    pub fn keeps_clone(&self) -> bool {
        self.job.keep_clone && !self.clone_is_new.load(Ordering::Relaxed)
    }

    /// The volume, and the clone in it, are about to be made anew.
    pub fn make_clone(&self) {
        self.clone_is_new.store(true, Ordering::Relaxed);
        self.scratch.own_clone();
    }

    /// Whether an image of the clone may be entered. A short name is judged as a branch; one of a tag only reads.
    pub fn may_write(&self, clone: &Checkout) -> bool {
        let is_tag = matches!(self.job.spec.git_ref, GitRef::Name(_)) && clone.at == At::Detached;
        let cache = self.job.cache.as_ref();
        // No commit says what was built from files that somebody works on.
        cache.is_ok_and(|cache| cache.writable) && !is_tag && !self.keeps_clone()
    }

    /// Whether the newest tag, which other tools pull, follows the clone: it does that of the default branch.
    pub fn is_newest(&self, clone: &Checkout) -> bool {
        self.job.spec.git_ref == GitRef::Default || clone.at == At::DefaultBranch
    }

    /// Ends `work` at the time limit.
    pub async fn within_limit<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(self.timed_out(None)))
    }

    /// The attempt was not ready in time: names what it was at, with the last lines of that.
    pub fn timed_out(&self, hook: Option<Hook>) -> Failure {
        let current = self.recorder.current();
        let what = match (hook, &current.description) {
            (Some(hook), _) => format!("{hook} has not ended"),
            (None, Some(step)) => format!("hearth still {step}"),
            (None, None) => "nothing had begun".to_owned(),
        };
        let limit = self.job.time_limit().as_secs();
        Failure {
            output_tail: current.tail,
            ..failure(
                FailureReason::TimedOut,
                current.step,
                format!("it was not ready within {limit} s: {what}"),
            )
        }
    }
}

/// The repository, cloned into the workspace's volume.
#[derive(Debug)]
pub struct Checkout {
    /// The whole volume.
    pub volume: CloneFiles,
    /// The clone's folder on the node, in the volume and named like the repository: for commands.
    pub folder: PathBuf,
    /// The clone, for the agent itself.
    pub files: CloneFiles,
    /// The commit that is checked out; `None` in a repository that has none yet.
    pub commit: Option<CommitHash>,
    /// What it is at.
    pub at: At,
}
