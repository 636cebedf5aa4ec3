//! Submodules. A workspace does not depend on them: those that cannot be fetched are told, and the others are there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use hearth_domain::{GitOptions, text::shortened};
use hearth_runtime::blocking;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{
    checkout::missing_files,
    command::Commands,
    failure::told,
    request::{CloneRequest, fetched},
};
use crate::{
    clone_files::CloneFiles,
    external::process::{OnLine, Process, ProcessFailure},
};

/// Submodules that are fetched at a time: one that does not answer does not hold up the others.
const AT_ONCE: usize = 4;
/// Deepest submodule in submodules.
const MAX_DEPTH: usize = 10;
/// Paths in one command.
const MAX_PATHS: usize = 200;
/// Where submodules come from: their URLs are the repository's, and ssh would use keys of the node's user.
const PROTOCOLS: &str = "https:http:git";
/// What to do where git refuses another protocol.
const NO_KEYS: &str =
    ": submodules are fetched by https, http or git, and not with the node's ssh keys or files";
/// Longest text of a warning.
const MAX_CHARS: usize = 300;

/// A submodule of a checkout.
#[derive(Clone, Debug)]
pub(crate) struct Submodule {
    /// Relative to the checkout.
    pub path: String,
    /// The commit that belongs to the checkout.
    pub commit: String,
}

/// Fetches the submodules of the clone in `folder`, and those in them. Returns what is missing, and why.
pub(super) async fn fetch(
    commands: &Commands<'_>,
    request: &CloneRequest<'_>,
    on_line: OnLine<'_>,
) -> Vec<String> {
    let within = request.submodules_within;
    let fetching = Fetching {
        commands,
        folder: request.into,
        options: request.options,
        deadline: Instant::now() + within,
        within,
        on_line: Mutex::new(on_line),
    };
    let mut warnings = Vec::new();
    let mut parents = vec![PathBuf::new()];
    for _ in 0..MAX_DEPTH {
        let mut fetched = Vec::new();
        for parent in parents {
            let there = fetching.fetch_those_of(&parent, &mut warnings).await;
            fetched.extend(there.iter().map(|submodule| parent.join(&submodule.path)));
        }
        parents = fetched;
    }
    warnings
}

struct Fetching<'a> {
    commands: &'a Commands<'a>,
    folder: &'a Path,
    options: &'a GitOptions,
    deadline: Instant,
    within: Duration,
    on_line: Mutex<OnLine<'a>>,
}

impl Fetching<'_> {
    /// Fetches the submodules of one checkout. Returns those that are there.
    async fn fetch_those_of(&self, parent: &Path, warnings: &mut Vec<String>) -> Vec<Submodule> {
        let dir = self.folder.join(parent);
        if !self.is_there(parent.join(".gitmodules")).await {
            return Vec::new();
        }
        let listed = match self.list(&dir).await {
            Ok(listed) => listed,
            Err(failure) => {
                let of = match parent.display().to_string() {
                    parent if parent.is_empty() => parent,
                    parent => format!(" of {parent}"),
                };
                let why = shortened(&told(failure).message, MAX_CHARS);
                warnings.push(format!("the submodules{of} are not fetched: {why}"));
                return Vec::new();
            }
        };
        // Those of a folder that is not checked out are not either.
        let is_wanted = |listed: &Submodule| {
            !parent.as_os_str().is_empty() || self.options.sparse.has(&listed.path)
        };
        let listed = listed.into_iter().filter(is_wanted);
        // One after the other: each of them writes the configuration of the checkout.
        let mut results = Vec::new();
        for submodule in listed {
            let init = ["submodule", "init", "--", &submodule.path];
            let ready = self.run(self.git(&dir).args(init)).await;
            results.push((submodule, ready));
        }
        let results: Vec<_> = stream::iter(results)
            .map(|(submodule, ready)| async {
                let result = match ready {
                    Ok(()) => self.update(&dir, &submodule).await,
                    Err(failure) => Err(failure),
                };
                (submodule, result)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut there = Vec::new();
        for (submodule, result) in results {
            let path = parent.join(&submodule.path).display().to_string();
            match result {
                Ok(()) => there.push(submodule),
                Err(failure) => match missing_files(&failure) {
                    Some(missing) if self.is_checked_out(parent, &submodule).await => {
                        warnings.push(format!("the submodule {path} is not whole: {missing}"));
                        there.push(submodule);
                    }
                    _ => {
                        self.empty(&dir, &submodule).await;
                        let mut why = without_passwords(&refused(failure));
                        if why.starts_with("transport '") {
                            why.push_str(NO_KEYS);
                        }
                        warnings.push(format!(
                            "the submodule {path} is not fetched, its folder is empty: {}",
                            shortened(&why, MAX_CHARS)
                        ));
                    }
                },
            }
        }
        there
    }

    /// The submodules that are both in `.gitmodules` and in the commit.
    async fn list(&self, dir: &Path) -> Result<Vec<Submodule>, ProcessFailure> {
        let paths = self
            .git(dir)
            .args(["config", "-z", "--blob", "HEAD:.gitmodules"])
            .args(["--get-regexp", r"^submodule\..*\.path$"])
            .run(&mut |_| {})
            .await;
        let paths = match paths {
            // Without a match git fails and prints nothing.
            Err(failure) if failure.tail.is_empty() => return Ok(Vec::new()),
            paths => paths?,
        };
        let paths = paths_in(&paths);
        let mut submodules = Vec::new();
        for paths in paths.chunks(MAX_PATHS) {
            let listed = self
                .git(dir)
                .env("GIT_LITERAL_PATHSPECS", "1")
                .args(["ls-files", "--stage", "-z", "--"])
                .args(paths)
                .run(&mut |_| {})
                .await?;
            submodules.extend(in_commit(&listed));
        }
        Ok(submodules)
    }

    async fn update(&self, dir: &Path, submodule: &Submodule) -> Result<(), ProcessFailure> {
        let update = self
            .git(dir)
            .args(["submodule", "update", "--init", "--force", "--progress"])
            .args(fetched(self.options))
            .args(["--", &submodule.path]);
        timeout_at(self.deadline, self.run(update))
            .await
            .unwrap_or_else(|_| {
                Err(ProcessFailure::new(format!(
                    "it took longer than {} s",
                    self.within.as_secs()
                )))
            })
    }

    async fn is_checked_out(&self, parent: &Path, submodule: &Submodule) -> bool {
        let path = parent.join(&submodule.path);
        // Otherwise git would answer for the checkout around it.
        if !self.is_there(path.join(".git")).await {
            return false;
        }
        let dir = self.folder.join(path);
        let head = ["rev-parse", "--verify", "--quiet", "HEAD"];
        let head = self.git(&dir).args(head).run(&mut |_| {}).await;
        head.is_ok_and(|head| head.trim() == submodule.commit)
    }

    /// Removes what a fetch that failed left in the submodule's folder.
    async fn empty(&self, dir: &Path, submodule: &Submodule) {
        let deinit = ["submodule", "deinit", "--force", "--", &submodule.path];
        // Of a submodule that git knows nothing of, nothing is there.
        let _ = self.run(self.git(dir).args(deinit)).await;
    }

    async fn is_there(&self, path: PathBuf) -> bool {
        let folder = self.folder.to_owned();
        blocking(move || CloneFiles::open(&folder).is_ok_and(|clone| clone.is_there(&path))).await
    }

    async fn run(&self, process: Process) -> Result<(), ProcessFailure> {
        let mut pass_on = |line: crate::external::process::Line<'_>| (self.on_line.lock())(line);
        process.run(&mut pass_on).await.map(|_| ())
    }

    fn git(&self, dir: &Path) -> Process {
        self.commands
            .git()
            .dir(dir)
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
    }
}

/// Why a submodule is not there. Of an entry that git does not take it says so in a warning, and then that there is none.
fn refused(failure: ProcessFailure) -> String {
    let ignored = failure.tail.lines().find_map(|line| {
        let ignored = line.trim().strip_prefix("warning: ")?;
        ignored.starts_with("ignoring ").then(|| ignored.to_owned())
    });
    ignored.unwrap_or_else(|| told(failure).message)
}

/// The paths in what `git config -z` prints of `.gitmodules`.
pub(crate) fn paths_in(config: &str) -> Vec<&str> {
    let entries = config.split('\0');
    let paths = entries.filter_map(|entry| Some(entry.split_once('\n')?.1));
    paths.filter(|path| !path.is_empty()).collect()
}

/// The submodules in what `git ls-files --stage -z` prints.
pub(crate) fn in_commit(listed: &str) -> impl Iterator<Item = Submodule> {
    listed.split('\0').filter_map(|entry| {
        let (entry, path) = entry.split_once('\t')?;
        let (commit, _) = entry.strip_prefix("160000 ")?.split_once(' ')?;
        Some(Submodule {
            path: path.to_owned(),
            commit: commit.to_owned(),
        })
    })
}

/// A text without the passwords of the URLs in it: those of `.gitmodules` may have one.
pub(crate) fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        clean.push_str(before);
        // A quote can be a part of a password.
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(after.len());
        let login = after[..end].rfind('@').map_or(0, |at| at + 1);
        rest = &after[login..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_without_its_password() {
        for (text, clean) in [
            (
                "clone of 'https://u:p@h/x' failed",
                "clone of 'https://h/x' failed",
            ),
            ("ssh://git@h:9/x y://t@z", "ssh://h:9/x y://z"),
            ("a@b: no", "a@b: no"),
            ("https://h/a@b", "https://h/a@b"),
            ("of 'https://u:p'w@h' failed", "of 'https://h' failed"),
            ("a://b://u:p@h", "a://b://h"),
        ] {
            assert_eq!(without_passwords(text), clean);
        }
    }
}
