//! The devcontainer configurations of a ref, without the rest of the repository: one commit without its files' contents is
//! fetched, and then the contents of the configurations.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use hearth_domain::{CommitHash, ConfigName, GitRef, Login};

use super::{
    checkout::remote_names,
    command::Commands,
    failure::{CloneFailure, classify, not_the_ref},
};
use crate::external::process::ProcessFailure;

/// Where configurations and links in their places are. `**/` stands for the repository's own folder too.
const PATTERNS: [&str; 5] = [
    ":(glob)**/.devcontainer.json",
    ":(glob)**/.devcontainer",
    ":(glob)**/.devcontainer/devcontainer.json",
    ":(glob)**/.devcontainer/*/devcontainer.json",
    // Links to folders.
    ":(glob)**/.devcontainer/*",
];
/// Most files that are checked out.
const MAX_FILES: usize = 400;
/// Links that lead to links.
const MAX_ROUNDS: usize = 4;
/// Longest target of a link.
const MAX_TARGET: usize = 4096;
/// Most bytes of a file that git writes. Names and modes of a million files have some 100 MB; a server that sends contents
/// unasked is not listened to for long.
const MAX_FILE_BYTES: u64 = 1 << 30;
const LINK: &str = "120000";

/// Asks for the configurations of a ref.
pub struct ConfigsRequest<'a> {
    /// URL without credentials.
    pub url: &'a str,
    /// The ref.
    pub git_ref: &'a GitRef,
    /// A folder that does not exist yet, in a folder that git may write.
    pub into: &'a Path,
    /// Private scratch folder.
    pub scratch: &'a Path,
    /// Login for this repository.
    pub login: Option<&'a Login>,
}

/// The repository that they are fetched into.
struct Repo<'a> {
    commands: &'a Commands<'a>,
    into: &'a Path,
}

impl Repo<'_> {
    async fn run(&self, args: &[&str]) -> Result<String, ProcessFailure> {
        let git = self.commands.git().max_file_bytes(MAX_FILE_BYTES);
        git.dir(self.into).args(args).run(&mut |_| {}).await
    }
}

/// Checks the configurations out. `None`: the repository has no commit yet.
pub(super) async fn fetch(
    commands: &Commands<'_>,
    request: &ConfigsRequest<'_>,
) -> Result<Option<CommitHash>, CloneFailure> {
    let into = request.into;
    let init = commands.git().args(["init", "--quiet", "--"]).args([into]);
    init.run(&mut |_| {}).await.map_err(not_the_ref)?;
    let repo = Repo { commands, into };
    let added = repo
        .run(&["remote", "add", "origin", "--", request.url])
        .await;
    added.map_err(not_the_ref)?;
    if !fetch_commit(&repo, commands, request).await? {
        return Ok(None);
    }
    let commit = repo
        .run(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"])
        .await;
    let commit = commit.map_err(not_the_ref)?.trim().parse().ok();
    repo.run(&["read-tree", "FETCH_HEAD^{tree}"])
        .await
        .map_err(not_the_ref)?;
    check_out(&repo).await.map_err(not_the_ref)?;
    Ok(commit)
}

/// Fetches the commit of the ref. False: the repository has none.
async fn fetch_commit(
    repo: &Repo<'_>,
    commands: &Commands<'_>,
    request: &ConfigsRequest<'_>,
) -> Result<bool, CloneFailure> {
    let mut missing = None;
    for name in names_of(request.git_ref) {
        let options = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let rest = ["--depth=1", "--filter=blob:none", "origin", &name];
        match repo
            .run(&[&options[..], &rest[..]].concat())
            .await
            .map_err(classify)
        {
            Ok(_) => return Ok(true),
            Err(CloneFailure::RefNotFound(failure, _)) => missing = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    let names = remote_names(commands, request.url)
        .await
        .map_err(classify)?;
    match missing {
        Some(failure) if !names.is_empty() => Err(CloneFailure::RefNotFound(failure, names)),
        _ => Ok(false),
    }
}

/// What a server is asked for. A short name is a branch, or a tag where there is no such branch.
fn names_of(git_ref: &GitRef) -> Vec<String> {
    match git_ref {
        GitRef::Default => vec!["HEAD".to_owned()],
        GitRef::Name(name) => ["heads", "tags"]
            .map(|kind| format!("refs/{kind}/{name}"))
            .into(),
        full => vec![full.to_string()],
    }
}

/// Checks out what is a configuration, and where links in the place of one lead.
async fn check_out(repo: &Repo<'_>) -> Result<(), ProcessFailure> {
    let mut found = listed(repo, &PATTERNS).await?;
    // What git lists for a folder is all that is in it.
    found.retain(|entry| {
        let is_folder = entry.is_link && is_in_place_of_folder(&entry.path);
        is_folder || ConfigName::of_file(&entry.path).is_some()
    });
    let mut known = BTreeSet::new();
    for _ in 0..MAX_ROUNDS {
        found.retain(|entry| known.insert(entry.path.clone()));
        found.truncate(MAX_FILES.saturating_sub(known.len() - found.len()));
        if found.is_empty() {
            break;
        }
        let mut words = vec!["--literal-pathspecs", "checkout", "--quiet", "--force"];
        words.extend(["FETCH_HEAD^{commit}", "--"]);
        words.extend(found.iter().map(|entry| entry.path.as_str()));
        repo.run(&words).await?;
        let links = found.into_iter().filter(|entry| entry.is_link);
        let mut next = Vec::new();
        for link in links {
            if let Some(target) = target(repo, &link.path).await {
                next.extend(at_target(repo, &target, link.has_named).await);
            }
        }
        found = next;
    }
    Ok(())
}

/// A file of the commit.
#[derive(Debug)]
struct Entry {
    path: String,
    is_link: bool,
    /// Whether it stands for a folder that has folders of configurations.
    has_named: bool,
}

/// Whether a link there stands for a folder of configurations, or for that of one.
fn is_in_place_of_folder(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    parts.next() == Some(".devcontainer") || parts.next() == Some(".devcontainer")
}

async fn listed(repo: &Repo<'_>, patterns: &[&str]) -> Result<Vec<Entry>, ProcessFailure> {
    let mut words = vec!["-c", "core.quotePath=false", "ls-files", "--stage", "--"];
    words.extend(patterns);
    let listed = repo.run(&words).await?;
    // A name that git has to quote is none of a configuration.
    let entries = listed.lines().filter_map(|line| {
        let (entry, path) = line.split_once('\t')?;
        Some(Entry {
            path: path.to_owned(),
            is_link: entry.starts_with(LINK),
            has_named: Path::new(path).ends_with(".devcontainer"),
        })
    });
    Ok(entries.collect())
}

/// Where a link leads, relative to the repository. `None`: out of it.
async fn target(repo: &Repo<'_>, link: &str) -> Option<String> {
    let target = repo
        .run(&["cat-file", "blob", &format!(":{link}")])
        .await
        .ok()?;
    within(Path::new(link).parent()?, &target)
}

fn within(folder: &Path, target: &str) -> Option<String> {
    if target.is_empty() || target.len() > MAX_TARGET || target.contains('\0') {
        return None;
    }
    let mut path = PathBuf::new();
    for part in folder.join(target).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    path.to_str()
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
}

/// What a link leads to: a file, or a folder with configurations.
async fn at_target(repo: &Repo<'_>, target: &str, has_named: bool) -> Vec<Entry> {
    // A folder with too many files to list is no folder of configurations.
    let found = listed(repo, &[&format!(":(literal){target}")]).await;
    let mut found = found.unwrap_or_default();
    found.retain(|entry| {
        let rest = entry.path.strip_prefix(target).unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [""] => true,
            ["", name] => *name == "devcontainer.json" || (has_named && entry.is_link),
            ["", _, name] => has_named && *name == "devcontainer.json",
            _ => false,
        }
    });
    for entry in &mut found {
        entry.has_named = has_named && entry.path == target;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_within_the_repository_only() {
        let within = |folder: &str, target| within(Path::new(folder), target);
        assert_eq!(within("", "tools/dev").as_deref(), Some("tools/dev"));
        assert_eq!(within(".devcontainer", "../a/./b").as_deref(), Some("a/b"));
        for out in ["..", "../../x", "/etc/passwd", "", ".devcontainer/../.."] {
            assert_eq!(within("", out), None, "{out}");
        }
    }
}
