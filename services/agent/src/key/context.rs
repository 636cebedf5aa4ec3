//! The files of a build context that a build can see.

use std::{collections::BTreeSet, path::Path};

use hearth_domain::{ContextSource, FolderMatches, Ignore, glob_matches};

use super::{
    clone_path::ClonePath,
    error::KeyError,
    git, ignores,
    tree::{self, Found, Kind, Limits},
};

/// Entries that a build can see, and why more of them may be counted than need be.
pub(super) struct Seen {
    pub found: Vec<Found>,
    pub careful: Vec<String>,
}

/// Finds what `sources` name in `context`.
pub(super) fn see(
    clone: &Path,
    context: &ClonePath,
    dockerfile: &Path,
    sources: &BTreeSet<ContextSource>,
    limits: Limits,
) -> Result<Seen, KeyError> {
    let mut careful = Vec::new();
    let ignores = ignores::read(&context.full, dockerfile, &mut careful)?;
    let mut walk = Walk {
        clone,
        context,
        ignores: &ignores,
        sources,
        limits,
        found: Vec::new(),
        link: None,
        git: false,
    };
    walk.root()?;
    if let Some(link) = walk.link.take() {
        careful.push(format!(
            "The whole build context counts: the Dockerfile copies through the link {link}."
        ));
        let all = BTreeSet::from([ContextSource::all()]);
        let mut walk = Walk {
            clone,
            context,
            ignores: &ignores,
            sources: &all,
            limits,
            found: Vec::new(),
            link: None,
            git: false,
        };
        walk.root()?;
        return Ok(walk.seen(careful));
    }
    Ok(walk.seen(careful))
}

struct Walk<'a> {
    clone: &'a Path,
    context: &'a ClonePath,
    ignores: &'a [Ignore],
    sources: &'a BTreeSet<ContextSource>,
    limits: Limits,
    found: Vec<Found>,
    /// A link that a source's path goes through.
    link: Option<String>,
    /// `.git` is among what is seen.
    git: bool,
}

/// What a path is to the sources.
#[derive(Default)]
struct Relation {
    seen: bool,
    /// A source lies, or may lie, below it.
    leads_on: bool,
    /// A source names it; if it is a link, the link is followed.
    named: bool,
}

impl Walk<'_> {
    fn seen(self, mut careful: Vec<String>) -> Seen {
        if self.git {
            careful.push(
                "The build can see .git, which differs on every machine. It is counted by its commit: workspaces of \
                 one commit share an image, with the .git of whoever built it."
                    .to_owned(),
            );
        }
        Seen {
            found: self.found,
            careful,
        }
    }

    fn root(&mut self) -> Result<(), KeyError> {
        if self.sources.is_empty() {
            return Ok(());
        }
        // The first line of defence is the caller's: the context is a folder inside the clone.
        let none = vec![None; self.ignores.len()];
        self.folder(&self.context.full.clone(), "", &none)
            .map(|_| ())
    }

    /// Walks one folder and tells whether something in it is sent.
    fn folder(
        &mut self,
        folder: &Path,
        name: &str,
        above: &[Option<FolderMatches>],
    ) -> Result<bool, KeyError> {
        let mut sent = false;
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<_, _>>)
            .map_err(|error| tree::unreadable(folder, error))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let part = entry.file_name().to_string_lossy().into_owned();
            let path = if name.is_empty() {
                part
            } else {
                format!("{name}/{part}")
            };
            sent |= self.entry(&entry.path(), &path, above)?;
        }
        Ok(sent)
    }

    fn entry(
        &mut self,
        full: &Path,
        path: &str,
        above: &[Option<FolderMatches>],
    ) -> Result<bool, KeyError> {
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
        let metadata = full
            .symlink_metadata()
            .map_err(|error| tree::unreadable(full, error))?;
        let Some(kind) =
            Kind::of(full, &metadata).map_err(|error| tree::unreadable(full, error))?
        else {
            return Ok(false);
        };
        match kind {
            Kind::Folder { .. } => {
                let hopeless = excluded
                    && !self
                        .ignores
                        .iter()
                        .any(|ignore| ignore.may_include_again_below(path));
                if hopeless {
                    return Ok(false);
                }
                let at = self.found.len();
                let sent = if full == self.clone.join(".git") {
                    self.git(full)?;
                    true
                } else {
                    // A folder that is left out is sent all the same when something in it is taken back.
                    self.folder(full, path, &matches)? || !excluded
                };
                if sent && relation.seen {
                    let found = self.entry_of(full, kind);
                    self.found.insert(at, found);
                }
                Ok(sent)
            }
            _ if excluded => Ok(false),
            Kind::Link { .. } if relation.named || relation.leads_on => {
                self.link.get_or_insert_with(|| path.to_owned());
                self.push(full, kind).map(|()| true)
            }
            _ => {
                if relation.seen {
                    self.push(full, kind)?;
                }
                Ok(true)
            }
        }
    }

    fn git(&mut self, full: &Path) -> Result<(), KeyError> {
        let commit = git::commit(full)?;
        self.git = true;
        self.push(&full.join("HEAD"), Kind::Known(format!("commit {commit}")))
    }

    fn push(&mut self, full: &Path, kind: Kind) -> Result<(), KeyError> {
        let found = self.entry_of(full, kind);
        self.found.push(found);
        if self.found.len() > self.limits.entries {
            return Err(KeyError::TooMuch {
                limit: format!("{} files", self.limits.entries),
            });
        }
        Ok(())
    }

    fn entry_of(&self, full: &Path, kind: Kind) -> Found {
        let name = full.strip_prefix(self.clone).unwrap_or(full);
        Found {
            name: tree::readable(name.as_os_str()),
            path: full.to_owned(),
            kind,
        }
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
            // A class such as [^x] may match a slash, so the pattern's depth says nothing.
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
