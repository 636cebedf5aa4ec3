use std::path::Path;

use hearth_api::v1::{Cloned, Failure, FailureReason, PipelineStep, event::Kind};
use hearth_domain::{GitRef, Login};
use hearth_runtime::blocking;

use super::{
    context::{Checkout, Context},
    failure::{failure, process_failure},
};
use crate::{
    clone_files::remove_folder,
    credentials::GitRemote,
    external::git::{CloneFailure, CloneRequest, GitClone, advice},
};

const STEP: PipelineStep = PipelineStep::Clone;
/// Submodules get this part of the attempt's time: a host that does not answer must not use up all of it.
const SUBMODULES_PART: u32 = 3;
/// Warnings that are recorded one by one.
const MAX_WARNINGS: usize = 50;

/// Clones the repository into the workspace's volume.
pub async fn clone(cx: &Context<'_>) -> Result<Checkout, Failure> {
    let description = format!("clones {}", cx.job.spec.repository.clone_url());
    cx.recorder
        .step(STEP, description, async {
            let workspace = &cx.job.attempt.workspace;
            // A login takes about as long as the volume.
            let (volume, login) =
                tokio::join!(cx.externals.engine.create_volume(workspace), login(cx));
            let volume =
                volume.map_err(|error| failure(FailureReason::EngineFailed, STEP, error))?;
            let folder = volume.join(cx.job.spec.repository.name());
            let mut cloned = clone_into(cx, &folder, login.as_ref()).await;
            if let (Err(CloneFailure::LoginRefused(_)), Some(refused)) = (&cloned, &login)
                && let Some(other) = cx.logins.git_instead_of(&refused.password).await
            {
                // Git clones into an empty folder only, and says so if it is not.
                let failed = folder.clone();
                let _ = blocking(move || remove_folder(&failed)).await;
                cloned = clone_into(cx, &folder, Some(&other)).await;
            }
            let GitClone {
                commit,
                at,
                warnings,
            } = cloned.map_err(|why| clone_failure(cx, why, login.is_some()))?;
            cx.recorder.note(Kind::Cloned(Cloned {
                commit: commit.as_ref().map(ToString::to_string).unwrap_or_default(),
            }));
            let more = warnings.len().saturating_sub(MAX_WARNINGS);
            for warning in warnings.into_iter().take(MAX_WARNINGS) {
                cx.recorder.warn(warning);
            }
            if more > 0 {
                cx.recorder
                    .warn(format!("{more} more warnings about the clone are left out"));
            }
            let open = |folder: &Path| {
                let files = cx.files.open(folder);
                files.map_err(|error| failure(FailureReason::Internal, STEP, error))
            };
            Ok(Checkout {
                volume: open(&volume)?,
                files: open(&folder)?,
                folder,
                commit,
                at,
            })
        })
        .await
}

async fn clone_into(
    cx: &Context<'_>,
    folder: &Path,
    login: Option<&Login>,
) -> Result<GitClone, CloneFailure> {
    let request = CloneRequest {
        url: &cx.job.spec.repository.clone_url(),
        git_ref: &cx.job.spec.git_ref,
        into: folder,
        scratch: cx.scratch.path(),
        login,
        submodules_within: cx.job.time_limit() / SUBMODULES_PART,
        options: &cx.job.spec.git,
    };
    let mut output = cx.recorder.output(STEP);
    cx.externals
        .git
        .clone_repository(&request, &mut |line| output.take(line))
        .await
}

/// The login for the repository, if git reaches it over HTTP and there is one.
async fn login(cx: &Context<'_>) -> Option<Login> {
    GitRemote::of(&cx.job.spec.repository)?;
    let host = cx.job.spec.repository.host_port();
    cx.logins.git().await.filter(|login| login.host == host)
}

/// The failure, with what to do about it if that is known.
fn clone_failure(cx: &Context<'_>, why: CloneFailure, with_login: bool) -> Failure {
    let url = cx.job.spec.repository.clone_url();
    let host = cx.job.spec.repository.host_port();
    let problem = GitRemote::of(&cx.job.spec.repository).and_then(|_| cx.logins.problem(&host));
    let (child, what) = match why {
        CloneFailure::RefNotFound(child, names) => {
            let message = ref_not_found(&url, &cx.job.spec.git_ref, &names);
            return process_failure(FailureReason::RefNotFound, STEP, message, &child);
        }
        CloneFailure::DiskFull(child) => {
            let message = format!(
                "{url} cannot be cloned: {}: the node's disk is full; free some of it, or choose another node",
                child.message
            );
            return process_failure(FailureReason::DiskFull, STEP, message, &child);
        }
        CloneFailure::LoginRefused(child) if with_login => {
            (child, format!("{host} does not accept the login"))
        }
        CloneFailure::LoginRefused(child) if problem.is_none() => {
            let what = format!(
                "{host} asks for a login, and the control plane has none for it: configure its credentials"
            );
            (child, what)
        }
        CloneFailure::LoginRefused(child) => (child, format!("{host} asks for a login")),
        CloneFailure::Failed(child) => {
            let what = match advice(&child) {
                Some(advice) => format!("{}: {advice}", child.message),
                None => child.message.clone(),
            };
            (child, what)
        }
    };
    let problem = problem.map(|sentence| format!("; {sentence}"));
    let message = format!(
        "{url} cannot be cloned: {what}{}",
        problem.unwrap_or_default()
    );
    process_failure(FailureReason::CloneFailed, STEP, message, &child)
}

fn ref_not_found(url: &str, git_ref: &GitRef, names: &[String]) -> String {
    let kind = match git_ref {
        GitRef::Commit(_) => {
            return format!(
                "{url} gives out no commit {git_ref}: check the hash; some servers give out only what a branch or a tag \
                 leads to"
            );
        }
        GitRef::Branch(_) => "branch",
        GitRef::Tag(_) => "tag",
        name if name.is_short_hash() => "branch, tag or commit",
        GitRef::Default | GitRef::Name(_) => "branch or tag",
        GitRef::Other(_) => "ref",
    };
    let known = match names {
        [] => String::new(),
        names => format!("; it has {}", names.join(", ")),
    };
    format!("{url} has no {kind} {:?}{known}", git_ref.to_string())
}
