use std::path::Path;

use hearth_api::v1::{Cloned, Failure, FailureReason, PipelineStep, event::Kind};
use hearth_domain::CommitHash;
use hearth_runtime::blocking;

use super::{
    context::{Checkout, Context},
    failure::failure,
};
use crate::{
    clone_files::CloneFiles,
    external::{engine::EngineFailure, git::At},
};

const STEP: PipelineStep = PipelineStep::Clone;
/// Most bytes that are read of a file of git's own: a list of a million refs has some 60 MB, and is not needed.
const MAX_REFS: u64 = 16 * 1024 * 1024;

/// The clone that the workspace has, if it is to be kept, without what ran on it. `None`: the repository is to be cloned.
///
/// Processes of the workspace could write to everything in the volume. Nothing runs on it any more; the agent reads it as all
/// clones, through `clone_files`, and has no command read settings out of it.
pub async fn kept_clone(cx: &Context<'_>) -> Result<Option<Checkout>, Failure> {
    if !cx.job.keep_clone {
        return Ok(None);
    }
    let keep = cx.recorder.step(STEP, "keeps the clone", keep(cx));
    match keep.await? {
        Some(kept) => Ok(Some(kept)),
        None => {
            cx.recorder.warn(
                "the workspace has no clone that could be kept: the repository is cloned anew",
            );
            Ok(None)
        }
    }
}

async fn keep(cx: &Context<'_>) -> Result<Option<Checkout>, Failure> {
    let engine = &cx.externals.engine;
    let workspace = &cx.job.attempt.workspace;
    let cleared = engine.clear_workspace(workspace, true).await;
    cleared.map_err(engine_failure)?;
    let Some(path) = engine.volume(workspace).await.map_err(engine_failure)? else {
        return Ok(None);
    };
    let name = cx.job.spec.repository.name();
    let folder = path.join(name);
    let internal = |error| failure(FailureReason::Internal, STEP, error);
    let volume = cx.files.open(&path).map_err(internal)?;
    let place = volume.clone();
    let relative = Path::new(name).to_owned();
    let is_folder = blocking(move || {
        let is_folder = place.folder_mode(&relative).is_ok();
        (
            place.is_there(&relative),
            is_folder && !place.is_link(&relative),
        )
    });
    match is_folder.await {
        (false, _) => return Ok(None),
        (true, true) => {}
        (true, false) => {
            let why = format!(
                "{name} in the workspace's volume is no folder any more: start with a fresh clone (`hearth rebuild {workspace} --fresh-clone`)"
            );
            return Err(failure(FailureReason::CloneFailed, STEP, why));
        }
    }
    let files = cx.files.open(&folder).map_err(internal)?;
    let (place, name) = (files.clone(), name.to_owned());
    let (commit, at) = blocking(move || head(&place)).await;
    tracing::debug!(repository = name, "a clone is kept");
    cx.recorder.note(Kind::Cloned(Cloned {
        commit: commit.as_ref().map(ToString::to_string).unwrap_or_default(),
    }));
    Ok(Some(Checkout {
        volume,
        files,
        folder,
        commit,
        at,
    }))
}

/// What the clone says that it is at. Whoever works in it may have written anything there: it is shown, and nothing else.
fn head(files: &CloneFiles) -> (Option<CommitHash>, At) {
    let text = |path: &str| files.text(Path::new(path), MAX_REFS).unwrap_or_default();
    let head = text(".git/HEAD");
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return (head.trim().parse().ok(), At::Detached);
    };
    let loose = text(&format!(".git/{name}"));
    let packed = || {
        let packed = text(".git/packed-refs");
        let found = packed.lines().find_map(|line| {
            let (hash, of) = line.split_once(' ')?;
            (of == name).then(|| hash.to_owned())
        });
        found.unwrap_or_default()
    };
    let commit = loose.trim().parse().ok();
    (commit.or_else(|| packed().parse().ok()), At::Branch)
}

fn engine_failure(error: EngineFailure) -> Failure {
    failure(FailureReason::EngineFailed, STEP, error)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_kept_clone_says_what_it_is_at_and_nothing_of_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        let at = |head: &str| {
            fs::write(git.join("HEAD"), head).unwrap();
            super::head(&CloneFiles::open(dir.path()).unwrap()).0
        };
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        fs::write(git.join("refs/heads/main"), format!("{one}\n")).unwrap();
        fs::write(
            git.join("packed-refs"),
            format!("# x\n{two} refs/heads/old\n"),
        )
        .unwrap();
        assert_eq!(at("ref: refs/heads/main\n").unwrap().as_str(), one);
        assert_eq!(at("ref: refs/heads/old\n").unwrap().as_str(), two);
        assert_eq!(at(&format!("{two}\n")).unwrap().as_str(), two);
        assert_eq!(at("ref: refs/heads/new\n"), None);
        // What is outside is not read.
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), &one).unwrap();
        symlink(outside.path(), git.join("refs/heads/evil")).unwrap();
        assert_eq!(at("ref: refs/heads/evil\n"), None);
        let above = format!("ref: ../../..{}\n", outside.path().display());
        assert_eq!(at(&above), None);
    }
}
