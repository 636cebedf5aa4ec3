//! The files of a build context that a build can see.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use hearth_domain::{ContextSource, FolderMatches, Ignore, glob_matches};

use super::{
    error::KeyError,
    git, ignores,
    tree::{Found, Limits, Value},
};
use crate::{
    clone_files::{CloneFiles, Entry, EntryKind},
    devcontainer::{ClonePath, readable},
};

/// Entries that a build can see, and why more of them may be counted than necessary.
pub(super) struct Seen {
    pub found: Vec<Found>,
    pub careful: Vec<String>,
}

/// Finds what `sources` name in `context`.
pub(super) fn see(
    files: &CloneFiles,
    context: &ClonePath,
    dockerfile: Option<&ClonePath>,
    sources: &BTreeSet<ContextSource>,
    limits: &Limits,
) -> Result<Seen, KeyError> {
    let mut careful = Vec::new();
    let ignores = ignores::read(
        files,
        &context.real,
        dockerfile.map(|file| &*file.real),
        &mut careful,
    )?;
    let walk = |sources| {
        let mut walk = Walk {
            files,
            ignores: &ignores,
            sources,
            limits,
            found: Vec::new(),
            link: None,
            git: false,
        };
        walk.context(&context.real).map(|()| walk)
    };
    let all = BTreeSet::from([ContextSource::all()]);
    let mut seen = walk(sources)?;
    if let Some(link) = &seen.link {
        careful.push(format!(
            "The whole build context counts: the Dockerfile copies through the link {link}."
        ));
        seen = walk(&all)?;
    }
    if seen.git {
        careful.push(
            "The build can see .git, which differs on every machine. It is counted by its commit, the branches and tags that \
             name it, and all other tags: workspaces that agree in these share an image, with the .git of the workspace \
             that built it."
                .to_owned(),
        );
    }
    Ok(Seen {
        found: seen.found,
        careful,
    })
}

struct Walk<'a> {
    files: &'a CloneFiles,
    ignores: &'a [Ignore],
    sources: &'a BTreeSet<ContextSource>,
    limits: &'a Limits,
    found: Vec<Found>,
    /// A link that a source's path goes through.
    link: Option<String>,
    /// `.git` is among what is seen.
    git: bool,
}

/// How a path is related to the sources.
#[derive(Default)]
struct Relation {
    seen: bool,
    /// A source is below it, or may be.
    leads_on: bool,
    /// A source names it. If it is a link, the link is followed.
    named: bool,
}

impl Walk<'_> {
    fn context(&mut self, context: &Path) -> Result<(), KeyError> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let none = vec![None; self.ignores.len()];
        self.folder(context, "", &none).map(|_| ())
    }

    /// Walks the folder `real` of the clone, which is `name` in the context, and returns whether something in it is sent.
    fn folder(
        &mut self,
        real: &Path,
        name: &str,
        above: &[Option<FolderMatches>],
    ) -> Result<bool, KeyError> {
        let mut sent = false;
        self.limits.check_depth(real)?;
        let entries = self
            .files
            .entries(real)
            .map_err(|error| KeyError::reading(real, error))?;
        for entry in entries {
            let part = entry.name.to_string_lossy();
            let path = if name.is_empty() {
                part.into_owned()
            } else {
                format!("{name}/{part}")
            };
            sent |= self.entry(real.join(&entry.name), entry, &path, above)?;
        }
        Ok(sent)
    }

    fn entry(
        &mut self,
        real: PathBuf,
        entry: Entry,
        path: &str,
        above: &[Option<FolderMatches>],
    ) -> Result<bool, KeyError> {
        self.limits.check_stop()?;
        let relation = self.relation(path);
        if !relation.seen && !relation.leads_on {
            return Ok(false);
        }
        let (mut excluded, mut matches) = (true, Vec::new());
        for (ignore, above) in self.ignores.iter().zip(above) {
            let (out, folder) = ignore.excludes(path, above.as_ref());
            excluded &= out;
            matches.push(Some(folder));
        }
        match entry.kind {
            EntryKind::Folder { .. } => {
                let hopeless = excluded
                    && !self
                        .ignores
                        .iter()
                        .any(|ignore| ignore.may_include_again_below(path));
                if hopeless {
                    return Ok(false);
                }
                let sent = if real == Path::new(".git") {
                    self.git()?;
                    true
                } else {
                    // An ignored folder is sent all the same when something in it is not ignored.
                    self.folder(&real, path, &matches)? || !excluded
                };
                if sent && relation.seen {
                    self.push(found(real, entry.kind))?;
                }
                Ok(sent)
            }
            _ if excluded => Ok(false),
            EntryKind::Link { .. } if relation.named || relation.leads_on => {
                self.link.get_or_insert_with(|| path.to_owned());
                self.push(found(real, entry.kind)).map(|()| true)
            }
            _ => {
                if relation.seen {
                    self.push(found(real, entry.kind))?;
                }
                Ok(true)
            }
        }
    }

    fn git(&mut self) -> Result<(), KeyError> {
        self.git = true;
        let git::State { commit, names } = git::state(self.files, self.limits)?;
        for (name, value) in [
            (".git/HEAD", format!("commit {commit}")),
            (".git/refs", format!("names {names}")),
        ] {
            self.push(Found {
                name: name.to_owned(),
                value: Value::Known(value),
            })?;
        }
        Ok(())
    }

    fn push(&mut self, found: Found) -> Result<(), KeyError> {
        self.found.push(found);
        self.limits.check_entries(self.found.len())
    }

    fn relation(&self, path: &str) -> Relation {
        let mut relation = Relation::default();
        let depth = path.split('/').count();
        for source in self.sources {
            if source.path == "." {
                relation.seen = true;
                continue;
            }
            let test = |source_path: &str, path: &str| {
                path == source_path || source.pattern && glob_matches(source_path, path)
            };
            // A class such as [^x] may match a slash, so that the pattern may match at any depth.
            let any_depth = source.pattern && source.path.contains('[');
            let mut above = path;
            loop {
                if test(&source.path, above) {
                    relation.seen = true;
                    relation.named |= above == path;
                    break;
                }
                match above.rsplit_once('/') {
                    Some((parent, _)) => above = parent,
                    None => break,
                }
            }
            let head = source
                .path
                .match_indices('/')
                .nth(depth - 1)
                .map(|(at, _)| &source.path[..at]);
            if any_depth || head.is_some_and(|head| test(head, path)) {
                relation.leads_on = true;
                relation.seen |= source.parents;
            }
        }
        relation
    }
}

fn found(real: PathBuf, kind: EntryKind) -> Found {
    Found {
        name: readable(real.as_os_str()),
        value: Value::of(real, kind),
    }
}
