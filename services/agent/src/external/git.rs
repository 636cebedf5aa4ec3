//! Git: what the agent asks of it, and the `git` command.

mod checkout;
mod command;
mod configs;
pub(crate) mod failure;
mod lfs;
mod request;
pub(crate) mod submodules;

use std::ffi::OsString;

use async_trait::async_trait;
use hearth_domain::{CloneDepth, CommitHash, GitRef};
use parking_lot::Mutex;

use super::{
    process::{Line, OnLine},
    sandbox::Sandbox,
};
use checkout::{Checkout, remote_names};
use command::Commands;
use failure::classify;
use request::fetched;

pub use checkout::At;
pub use configs::ConfigsRequest;
pub use failure::{CloneFailure, advice};
pub use request::CloneRequest;

/// A clone that was made.
#[derive(Clone, Debug, Default)]
pub struct GitClone {
    /// The commit that was checked out; `None` if the repository has none yet.
    pub commit: Option<CommitHash>,
    /// What it is at.
    pub at: At,
    /// What is missing in it and does not keep it from being used.
    pub warnings: Vec<String>,
}

/// Git.
#[async_trait]
pub trait Git: Send + Sync {
    /// Clones and checks out.
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<GitClone, CloneFailure>;

    /// Checks out nothing but the devcontainer configurations of a ref. `None`: the repository has no commit yet.
    async fn fetch_configs(
        &self,
        request: &ConfigsRequest<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure>;
}

/// The git command.
#[derive(Debug)]
pub struct GitCli {
    program: OsString,
    sandbox: Sandbox,
}

impl GitCli {
    /// The git on `PATH`.
    pub fn new(sandbox: Sandbox) -> Self {
        Self {
            program: "git".into(),
            sandbox,
        }
    }
}

#[cfg(test)]
impl Default for GitCli {
    fn default() -> Self {
        Self::new(Sandbox::of_tests())
    }
}

#[async_trait]
impl Git for GitCli {
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<GitClone, CloneFailure> {
        let commands = Commands::new(
            (&self.sandbox, &self.program),
            request.into,
            request.scratch,
            request.login,
            request.url,
        );
        let short = download(&commands, request, on_line).await?;
        prepare(&commands, request).await?;
        let mut warnings = Vec::new();
        let mut checkout = Checkout {
            commands: &commands,
            folder: request.into,
            url: request.url,
            fetched: fetched(request.options),
            is_shallow: request.options.depth == CloneDepth::Shallow,
            warnings: &mut warnings,
        };
        let commit = match short {
            Some(commit) => checkout.of_commit(&commit, on_line).await?,
            None => checkout.run(request.git_ref, on_line).await?,
        };
        // Each command takes longer for its sandbox than for its answer, and none of them changes what another one reads.
        let has_files = commit.is_some();
        let (at, missing) = tokio::join!(checkout.at(), async {
            match has_files {
                true => rest(&commands, request, on_line).await,
                false => Vec::new(),
            }
        });
        warnings.extend(missing);
        Ok(GitClone {
            commit,
            at,
            warnings,
        })
    }

    async fn fetch_configs(
        &self,
        request: &ConfigsRequest<'_>,
    ) -> Result<Option<CommitHash>, CloneFailure> {
        let commands = Commands::new(
            (&self.sandbox, &self.program),
            request.into,
            request.scratch,
            request.login,
            request.url,
        );
        configs::fetch(&commands, request).await
    }
}

/// Fetches what a checkout does not have: files in Git LFS, and submodules. Returns what is missing, and why. They come at the
/// same time, and what they print is mixed: both are rare.
async fn rest(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Vec<String> {
    let on_line = Mutex::new(on_line);
    let mut of_lfs = |line: Line<'_>| (on_line.lock())(line);
    let mut of_submodules = |line: Line<'_>| (on_line.lock())(line);
    let (pointers, mut missing) = tokio::join!(
        lfs::fetch(commands, request, &mut of_lfs),
        submodules::fetch(commands, request, &mut of_submodules),
    );
    missing.extend(pointers);
    missing
}

/// Sets what holds for the checkout and for git in the workspace.
async fn prepare(commands: &Commands<'_>, request: &CloneRequest<'_>) -> Result<(), CloneFailure> {
    let git = || commands.git().dir(request.into);
    let failed = CloneFailure::Failed;
    if let Some(author) = &request.options.author {
        for (name, value) in [("user.name", author.name()), ("user.email", author.email())] {
            let set = git().args(["config", "--local", name, value]);
            set.run(&mut |_| {}).await.map_err(failed)?;
        }
    }
    let sparse = &request.options.sparse;
    if !sparse.is_empty() {
        let set = git().args(["sparse-checkout", "set", "--cone", ".devcontainer"]);
        let set = set.args(sparse.iter());
        set.run(&mut |_| {}).await.map_err(failed)?;
    }
    Ok(())
}

/// Clones without checking anything out. Returns the commit of a short hash.
async fn download(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Result<Option<CommitHash>, CloneFailure> {
    let clone = |branch: Option<&str>| {
        let clone = commands
            .git()
            .args(["clone", "--progress", "--no-checkout"]);
        let clone = clone.args(fetched(request.options));
        match branch {
            Some(branch) => clone.args(["--branch", branch]),
            None => clone,
        }
        .args(["--", request.url])
        .args([request.into])
    };
    let GitRef::Name(name) = request.git_ref else {
        return clone(None)
            .run(on_line)
            .await
            .map(|_| None)
            .map_err(classify);
    };
    let missing = match clone(Some(name)).run(on_line).await.map_err(classify) {
        Err(CloneFailure::RefNotFound(missing, _)) => missing,
        result => return result.map(|_| None),
    };
    let names = remote_names(commands, request.url)
        .await
        .map_err(classify)?;
    if names.is_empty() {
        // An empty repository has no branch that git could clone, and gets this one.
        return clone(None)
            .run(on_line)
            .await
            .map(|_| None)
            .map_err(classify);
    }
    // Only who has the history knows whose hash begins like that.
    if request.git_ref.is_short_hash() && request.options.depth != CloneDepth::Shallow {
        clone(None).run(on_line).await.map_err(classify)?;
        let commit = format!("{name}^{{commit}}");
        let commit = commands
            .git()
            .dir(request.into)
            .args(["rev-parse", "--verify", "--quiet", &commit])
            .run(&mut |_| {})
            .await;
        if let Some(commit) = commit.ok().and_then(|commit| commit.trim().parse().ok()) {
            return Ok(Some(commit));
        }
    }
    Err(CloneFailure::RefNotFound(missing, names))
}

#[cfg(test)]
#[path = "git_hostile_tests.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "git_options_tests.rs"]
mod options_tests;
#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
