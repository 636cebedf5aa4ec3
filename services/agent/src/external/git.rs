//! Git: what the agent asks of it, and the `git` command.

use std::path::Path;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_domain::{CommitHash, GitRef, Login};
use secrecy::ExposeSecret as _;

use super::process::{OnLine, Process, ProcessFailure};

/// Git gives up on a transfer that is slower than so many bytes a second for so many seconds.
const LOW_SPEED_BYTES: &str = "1000";
const LOW_SPEED_SECONDS: &str = "60";

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
}

/// Why a clone failed.
#[derive(Clone, Debug)]
pub enum CloneFailure {
    /// The remote has no such branch, tag or commit.
    RefNotFound(ProcessFailure),
    /// The git host asked for a login, or did not accept the one that it got.
    LoginRefused(ProcessFailure),
    /// Anything else.
    Failed(ProcessFailure),
}

/// Git.
#[async_trait]
pub trait Git: Send + Sync {
    /// Clones and returns the commit that was checked out.
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<CommitHash, CloneFailure>;
}

/// The git command.
#[derive(Debug, Default)]
pub struct GitCli;

#[async_trait]
impl Git for GitCli {
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<CommitHash, CloneFailure> {
        let git = |dir: Option<&Path>| {
            let child = command(request.scratch, request.login, request.url);
            match dir {
                Some(dir) => child.dir(dir),
                None => child,
            }
        };
        let mut clone =
            git(None).args(["clone", "--progress", "--filter=blob:none", "--no-checkout"]);
        if let GitRef::Name(name) = request.git_ref {
            clone = clone.args(["--branch", name]);
        }
        clone
            .args(["--", request.url])
            .args([request.into])
            .run(on_line)
            .await
            .map_err(classify)?;

        let in_clone = || git(Some(request.into));
        // `git clone --branch` takes short names only, and a clone has only the commits that branches reach: the head of a
        // pull request is fetched.
        if !matches!(request.git_ref, GitRef::Default | GitRef::Name(_)) {
            in_clone()
                .args(["fetch", "--filter=blob:none", "origin"])
                .args([request.git_ref.to_string()])
                .run(on_line)
                .await
                .map_err(classify)?;
        }
        let checkout = in_clone().args(["checkout", "--quiet"]);
        let checkout = match request.git_ref {
            GitRef::Default | GitRef::Name(_) => checkout,
            // As `git clone --branch` does: commits in the workspace go to the branch.
            GitRef::Branch(branch) => {
                let remote = format!("origin/{branch}");
                checkout.args(["-B", branch, "--track", &remote, "--"])
            }
            GitRef::Tag(_) | GitRef::Other(_) => checkout.args(["--detach", "FETCH_HEAD", "--"]),
            GitRef::Commit(commit) => checkout.args(["--detach", commit.as_str(), "--"]),
        };
        checkout.run(on_line).await.map_err(classify)?;
        if request.into.join(".gitmodules").exists() {
            in_clone()
                .args([
                    "submodule",
                    "update",
                    "--init",
                    "--recursive",
                    "--filter=blob:none",
                ])
                .run(on_line)
                .await
                .map_err(CloneFailure::Failed)?;
        }
        let head = in_clone()
            .args(["rev-parse", "--verify", "HEAD"])
            .run(on_line)
            .await
            .map_err(CloneFailure::Failed)?;
        head.trim().parse().map_err(|error| {
            CloneFailure::Failed(ProcessFailure::new(format!("what git checked out {error}")))
        })
    }
}

fn command(scratch: &Path, login: Option<&Login>, url: &str) -> Process {
    let mut settings = vec![
        ("http.lowSpeedLimit".to_owned(), LOW_SPEED_BYTES.to_owned()),
        ("http.lowSpeedTime".to_owned(), LOW_SPEED_SECONDS.to_owned()),
        // The clone's files belong to the devcontainer's user, and git refuses to read those of another user.
        ("safe.directory".to_owned(), "*".to_owned()),
        ("advice.detachedHead".to_owned(), "false".to_owned()),
        // A hook of the node's templates must not run.
        ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
    ];
    settings.extend(login.into_iter().flat_map(|login| headers(login, url)));
    let mut child = Process::new("git")
        .env("HOME", scratch)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=15")
        .env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (number, (name, value)) in settings.into_iter().enumerate() {
        child = child
            .env(&format!("GIT_CONFIG_KEY_{number}"), name)
            .env(&format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    child
}

/// A login as a header for this repository alone, by either of its names. Other repositories on the host, such as
/// submodules, are fetched without it. The environment of a process can be read by its user only, unlike its arguments.
fn headers(login: &Login, url: &str) -> Vec<(String, String)> {
    let rest = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if rest.and_then(|rest| rest.split('/').next()) != Some(login.host.as_str()) {
        return Vec::new();
    }
    let pair = format!("{}:{}", login.username, login.password.expose_secret());
    let header = format!("Authorization: Basic {}", STANDARD.encode(pair));
    let url = url.strip_suffix(".git").unwrap_or(url);
    ["", ".git"]
        .map(|ending| (format!("http.{url}{ending}.extraHeader"), header.clone()))
        .into()
}

fn classify(failure: ProcessFailure) -> CloneFailure {
    let missing = [
        "not found in upstream",
        "not our ref",
        "couldn't find remote ref",
        "reference is not a tree",
        "Server does not allow request for unadvertised object",
    ];
    let refused = [
        "Authentication failed",
        "returned error: 401",
        "returned error: 403",
        // Git would ask for another login on a terminal.
        "terminal prompts disabled",
    ];
    let says = |texts: &[&str]| texts.iter().any(|text| failure.tail.contains(text));
    if says(&missing) {
        CloneFailure::RefNotFound(failure)
    } else if says(&refused) {
        CloneFailure::LoginRefused(failure)
    } else {
        CloneFailure::Failed(failure)
    }
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
