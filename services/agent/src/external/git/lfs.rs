//! Git LFS: files whose content is kept beside the repository. The clone has pointers to them until git-lfs fetches them.

use std::{io::Read as _, path::Path, time::Duration};

use hearth_domain::text::shortened;
use hearth_runtime::blocking;
use tokio::time::timeout;

use super::{command::Commands, failure::told, request::CloneRequest};
use crate::{
    clone_files::CloneFiles,
    external::process::{OnLine, Process},
};

/// What a file of Git LFS begins with until its content is fetched.
const POINTER: &[u8] = b"version https://git-lfs";
/// Files that are looked at.
const MAX_FILES: usize = 100;
/// Longest text of a warning.
const MAX_CHARS: usize = 300;
/// git-lfs works as if `git lfs install` had been called; only where hearth asks it to.
const SETTINGS: [(&str, &str); 6] = [
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "false"),
    ("lfs.activitytimeout", "60"),
    ("lfs.locksverify", "false"),
];

/// Fetches the content of the files in Git LFS, if the clone has pointers to some: from the repository's own host, by the
/// login for the repository. What `.lfsconfig` names does not count, so that no other host gets it. Returns what is missing,
/// and why; the workspace does not depend on it.
pub(super) async fn fetch(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Option<String> {
    pointers(commands, request.into).await?;
    let why = pull(commands, request, on_line).await.err();
    let (first, count) = pointers(commands, request.into).await?;
    let others = match count {
        1 => String::new(),
        _ => format!(" and of others of the {count} files in Git LFS"),
    };
    let why = why.unwrap_or_else(|| "the host does not have it".to_owned());
    Some(format!(
        "the content of {}{others} is not there: {}; `git lfs pull` in the workspace tries it again",
        shortened(&first, MAX_CHARS),
        shortened(&why, MAX_CHARS)
    ))
}

async fn pull(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Result<(), String> {
    if !request.url.starts_with("http") {
        return Err("hearth fetches it by https and http only".to_owned());
    }
    let lfs = |args: &[&str]| lfs(commands, request, args);
    if lfs(&["version"]).run(&mut |_| {}).await.is_err() {
        return Err("the node has no git-lfs, install it there".to_owned());
    }
    let sparse = &request.options.sparse;
    // A file in the root is in no folder.
    let folders = sparse.iter().map(|folder| format!("{folder}/**"));
    let include: Vec<String> = std::iter::once("/*".to_owned()).chain(folders).collect();
    let include = include.join(",");
    let mut args = vec!["pull"];
    if !sparse.is_empty() {
        args.extend(["--include", &include]);
    }
    let within: Duration = request.submodules_within;
    match timeout(within, lfs(&args).run(on_line)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(failure)) => Err(told(failure).message),
        Err(_) => Err(format!("it took longer than {} s", within.as_secs())),
    }
}

fn lfs(commands: &Commands<'_>, request: &CloneRequest<'_>, args: &[&str]) -> Process {
    let url = request.url.strip_suffix(".git").unwrap_or(request.url);
    let endpoint = format!("{url}.git/info/lfs");
    let settings = SETTINGS.into_iter().chain([("lfs.url", endpoint.as_str())]);
    commands
        .git_with(settings)
        .dir(request.into)
        .args(["lfs"])
        .args(args)
}

/// The first pointer in the clone, and the number of its files in Git LFS.
async fn pointers(commands: &Commands<'_>, folder: &Path) -> Option<(String, usize)> {
    let (_, listed, _) = commands
        .git()
        .dir(folder)
        .args(["ls-files", "-z", "--", ":(attr:filter=lfs)"])
        .run_to_end(&mut |_| {})
        .await
        .ok()?;
    let count = listed.split_terminator('\0').count();
    if count == 0 {
        return None;
    }
    let folder = folder.to_owned();
    let first = blocking(move || {
        let clone = CloneFiles::open(&folder).ok()?;
        let mut looked_at = listed.split_terminator('\0').take(MAX_FILES);
        let first = looked_at.find(|file| is_pointer(&clone, Path::new(file)));
        first.map(str::to_owned)
    })
    .await?;
    Some((first, count))
}

fn is_pointer(clone: &CloneFiles, file: &Path) -> bool {
    let mut start = [0; POINTER.len()];
    let file = clone.open_file(file);
    file.is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == POINTER
}
