//! Git: what the agent asks of it, and the `git` command.

mod checkout;
mod command;
mod configs;
pub(crate) mod failure;
mod lfs;
pub(crate) mod submodules;

use std::{ffi::OsString, path::Path, time::Duration};

use async_trait::async_trait;
use hearth_domain::{CommitHash, GitRef, Login};

use super::{process::OnLine, sandbox::Sandbox};
use checkout::{Checkout, remote_names};
use command::Commands;
use failure::classify;

pub use checkout::At;
pub use configs::ConfigsRequest;
pub use failure::{CloneFailure, advice};

/// A clone to make.
pub struct CloneRequest<'a> {
    /// URL without credentials.
    pub url: &'a str,
    /// What to check out.
    pub git_ref: &'a GitRef,
    /// A folder that does not exist yet.
    pub into: &'a Path,
    /// Private scratch folder of the attempt.
    pub scratch: &'a Path,
    /// Login for this repository, and for nothing else on its host.
    pub login: Option<&'a Login>,
    /// How long its submodules may take together.
    pub submodules_within: Duration,
}

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
        download(&commands, request, on_line).await?;
        let mut warnings = Vec::new();
        let mut checkout = Checkout {
            commands: &commands,
            folder: request.into,
            url: request.url,
            warnings: &mut warnings,
        };
        let commit = checkout.run(request.git_ref, on_line).await?;
        // Each command takes longer for its sandbox than for its answer, and none of them changes what another one reads.
        let has_files = commit.is_some();
        let (at, of_submodules, of_pointers) = tokio::join!(
            checkout.at(),
            async {
                let within = request.submodules_within;
                match has_files {
                    true => submodules::fetch(&commands, request.into, within, on_line).await,
                    false => Vec::new(),
                }
            },
            async {
                match has_files {
                    true => lfs::pointers(&commands, request.into).await,
                    false => None,
                }
            },
        );
        warnings.extend(of_submodules);
        warnings.extend(of_pointers);
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

/// Clones without checking anything out.
async fn download(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Result<(), CloneFailure> {
    let clone = |branch: Option<&str>| {
        let clone =
            commands
                .git()
                .args(["clone", "--progress", "--filter=blob:none", "--no-checkout"]);
        match branch {
            Some(branch) => clone.args(["--branch", branch]),
            None => clone,
        }
        .args(["--", request.url])
        .args([request.into])
    };
    let GitRef::Name(name) = request.git_ref else {
        return clone(None).run(on_line).await.map(|_| ()).map_err(classify);
    };
    let missing = match clone(Some(name)).run(on_line).await.map_err(classify) {
        Err(CloneFailure::RefNotFound(missing, _)) => missing,
        result => return result.map(|_| ()),
    };
    let names = remote_names(commands, request.url)
        .await
        .map_err(classify)?;
    if names.is_empty() {
        // An empty repository has no branch that git could clone, and gets this one.
        return clone(None).run(on_line).await.map(|_| ()).map_err(classify);
    }
    Err(CloneFailure::RefNotFound(missing, names))
}

#[cfg(test)]
#[path = "git_hostile_tests.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
