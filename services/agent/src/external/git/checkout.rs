//! What a clone is at: a commit, or a branch without one.

use std::path::Path;

use hearth_domain::{CommitHash, GitRef, text::shortened};

use super::{
    command::Commands,
    failure::{CloneFailure, classify, not_storable, not_the_ref},
};
use crate::external::process::{Ended, Line, OnLine, Process, ProcessFailure};

const REMOTE: &str = "refs/remotes/origin/";
/// Most names of branches that a message lists.
const LISTED: usize = 5;
/// Longest name of a file in a warning.
const MAX_FILE_CHARS: usize = 120;

/// What a clone is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// The branch that the remote's `HEAD` points to.
    DefaultBranch,
    /// Another branch.
    Branch,
    /// A tag, a commit, or another ref.
    #[default]
    Detached,
}

/// A clone whose files are not checked out yet.
pub(super) struct Checkout<'a> {
    pub commands: &'a Commands<'a>,
    pub folder: &'a Path,
    pub url: &'a str,
    /// It has no commit but the one that is checked out.
    pub is_shallow: bool,
    /// The options of git by which less is fetched.
    pub fetched: &'a [&'a str],
    pub warnings: &'a mut Vec<String>,
}

impl Checkout<'_> {
    /// Checks `git_ref` out, and returns its commit. A repository without a commit has none.
    pub(super) async fn run(
        &mut self,
        git_ref: &GitRef,
        on_line: OnLine<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure> {
        match git_ref {
            GitRef::Default | GitRef::Name(_) => match self.head().await {
                Some(_) => self.check_out(&[], on_line).await?,
                None => return self.without_head(git_ref, on_line).await,
            },
            GitRef::Branch(_) if self.branches().await.is_empty() => {
                return self.without_head(git_ref, on_line).await;
            }
            // `git clone --branch` takes short names only, and a clone has only the commits that branches reach: the head
            // of a pull request is fetched.
            GitRef::Branch(branch) if branch.starts_with('-') => {
                // Git has no local branch of such a name.
                self.fetch(git_ref, on_line).await?;
                self.check_out(&["--detach", "FETCH_HEAD", "--"], on_line)
                    .await?;
            }
            GitRef::Branch(branch) => {
                if self.is_shallow {
                    // Such a clone follows its default branch alone.
                    let follow = ["remote", "set-branches", "--add", "origin", branch.as_str()];
                    let followed = self.git().args(follow).run(&mut |_| {}).await;
                    followed.map_err(CloneFailure::Failed)?;
                }
                self.fetch(git_ref, on_line).await?;
                self.check_out_branch(branch, on_line).await?;
            }
            GitRef::Tag(_) | GitRef::Other(_) => {
                self.fetch(git_ref, on_line).await?;
                self.check_out(&["--detach", "FETCH_HEAD", "--"], on_line)
                    .await?;
            }
            GitRef::Commit(commit) => {
                self.fetch(git_ref, on_line).await?;
                self.check_out(&["--detach", commit.as_str(), "--"], on_line)
                    .await?;
            }
        }
        Ok(self.head().await)
    }

    /// Checks out a commit that the clone has.
    pub(super) async fn of_commit(
        &mut self,
        commit: &CommitHash,
        on_line: OnLine<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure> {
        self.check_out(&["--detach", commit.as_str(), "--"], on_line)
            .await?;
        Ok(self.head().await)
    }

    /// What is checked out. Git knows branches of other names as the remote's, and takes a short name for a tag where there
    /// is no such branch.
    pub(super) async fn at(&self) -> At {
        let default = format!("{REMOTE}HEAD");
        let name = async |name| self.answer(&["symbolic-ref", "--quiet", name]).await;
        let (head, default) = tokio::join!(name("HEAD"), name(default.as_str()));
        let Some(branch) = head.trim().strip_prefix("refs/heads/") else {
            return At::Detached;
        };
        match default.trim().strip_prefix(REMOTE) == Some(branch) {
            true => At::DefaultBranch,
            false => At::Branch,
        }
    }

    /// The branch that the clone is on has no commit: that of an empty repository, or a default branch that does not
    /// exist.
    async fn without_head(
        &mut self,
        git_ref: &GitRef,
        on_line: OnLine<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure> {
        let branches = self.branches().await;
        if let GitRef::Name(branch) | GitRef::Branch(branch) = git_ref {
            let head = format!("refs/heads/{branch}");
            self.git()
                .args(["symbolic-ref", "HEAD", &head])
                .run(&mut |_| {})
                .await
                .map_err(not_the_ref)?;
        }
        let head = self.answer(&["symbolic-ref", "--short", "HEAD"]).await;
        let head = head.trim();
        match branches.as_slice() {
            [] => {
                self.check_server().await?;
                self.warnings.push(format!(
                    "{} has no commit yet: the clone is empty, and the first commit goes to the branch {head}",
                    self.url
                ));
                Ok(None)
            }
            [only] => {
                self.warnings.push(format!(
                    "the default branch of {}, {head}, does not exist: its only branch is checked out, {only}",
                    self.url
                ));
                self.check_out_branch(only, on_line).await?;
                Ok(self.head().await)
            }
            [first, ..] => {
                self.warnings.push(format!(
                    "the default branch of {}, {head}, does not exist, so the clone is empty; its branches are {}: ask \
                     for one of them, as with `--ref {first}`",
                    self.url,
                    branches.join(", ")
                ));
                Ok(None)
            }
        }
    }

    async fn fetch(&mut self, git_ref: &GitRef, on_line: OnLine<'_>) -> Result<(), CloneFailure> {
        let fetched = self
            .git()
            // Otherwise git reads `.gitmodules`, and gives up at a value that it does not take.
            .args(["fetch", "--no-recurse-submodules", "--progress"])
            .args(self.fetched)
            .args(["origin"])
            .args([git_ref.to_string()])
            .run(on_line)
            .await;
        match fetched.map_err(classify) {
            Err(CloneFailure::RefNotFound(failure, _)) => {
                Err(CloneFailure::RefNotFound(failure, self.branches().await))
            }
            result => result.map(|_| ()),
        }
    }

    /// As `git clone --branch` does: commits in the workspace go to the branch.
    async fn check_out_branch(
        &mut self,
        branch: &str,
        on_line: OnLine<'_>,
    ) -> Result<(), CloneFailure> {
        let remote = format!("origin/{branch}");
        self.check_out(&["-B", branch, "--track", &remote, "--"], on_line)
            .await
    }

    /// A file that the node cannot have, for example because of a very long name, does not keep it from having the others.
    async fn check_out(&mut self, args: &[&str], on_line: OnLine<'_>) -> Result<(), CloneFailure> {
        let failure = match self
            .git()
            // The folder is empty. Without `--force` git looks first at what it would overwrite, and gives up at a name
            // that is too long to look at.
            .args(["checkout", "--force", "--quiet", "--progress"])
            .args(args)
            .run(on_line)
            .await
        {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        match missing_files(&failure) {
            Some(warning) if self.head().await.is_some() => {
                self.warnings.push(warning);
                Ok(())
            }
            _ => Err(not_the_ref(failure)),
        }
    }

    /// A web page that answers everything looks to git like an empty repository of a server from before smart HTTP.
    async fn check_server(&self) -> Result<(), CloneFailure> {
        if !self.url.starts_with("http") {
            return Ok(());
        }
        let mut speaks_git = false;
        let mut look = |line: Line<'_>| {
            speaks_git |= matches!(line, Line::Text(text) if text.contains("packet: "));
        };
        let _ = self
            .git()
            .env("GIT_TRACE_PACKET", "1")
            .args(["ls-remote", "--", self.url])
            .run(&mut look)
            .await;
        if speaks_git {
            return Ok(());
        }
        Err(CloneFailure::Failed(ProcessFailure::new(
            "it is not a git server",
        )))
    }

    async fn head(&self) -> Option<CommitHash> {
        let head = self.answer(&["rev-parse", "--verify", "--quiet", "HEAD"]);
        head.await.trim().parse().ok()
    }

    /// The first few branches that the remote has.
    async fn branches(&self) -> Vec<String> {
        let count = format!("--count={}", LISTED + 1);
        let refs = self
            .answer(&["for-each-ref", &count, "--format=%(refname)", REMOTE])
            .await;
        refs.lines()
            .filter_map(|name| name.strip_prefix(REMOTE))
            .filter(|name| *name != "HEAD")
            .take(LISTED)
            .map(str::to_owned)
            .collect()
    }

    /// What a question about the clone is answered; nothing if git has no answer.
    async fn answer(&self, args: &[&str]) -> String {
        let answer = self.git().args(args).run(&mut |_| {}).await;
        answer.unwrap_or_default()
    }

    fn git(&self) -> Process {
        self.commands.git().dir(self.folder)
    }
}

/// Names of branches and tags of a remote that is not cloned, a few of them.
pub(super) async fn remote_names(
    commands: &Commands<'_>,
    url: &str,
) -> Result<Vec<String>, ProcessFailure> {
    let (ended, listed, tail) = commands
        .git()
        .args(["ls-remote", "--heads", "--tags", "--refs", "--", url])
        .run_to_end(&mut |_| {})
        .await?;
    let names: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_once('\t')?.1.strip_prefix("refs/"))
        .filter_map(|name| name.split_once('/'))
        .map(|(_, name)| name.to_owned())
        .take(LISTED)
        .collect();
    match ended {
        Err(Ended::Status(message) | Ended::Exceeded(message)) if names.is_empty() => {
            Err(ProcessFailure { message, tail })
        }
        _ => Ok(names),
    }
}

/// A warning about the files that a checkout could not write, if it failed for them alone.
pub(super) fn missing_files(failure: &ProcessFailure) -> Option<String> {
    let files = not_storable(failure)?;
    let others = match files.len() {
        1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let (name, why) = files[0].rsplit_once(": ").unwrap_or((files[0], ""));
    Some(format!(
        "the node cannot have the {}{others}: {why}",
        shortened(name, MAX_FILE_CHARS)
    ))
}
