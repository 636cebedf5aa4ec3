//! Where COPY, ADD and the mounts of RUN take their files from.

use super::{
    lines::Instruction,
    words::{self, Env, WordError},
};
use crate::CommitHash;

/// Files of the context that a build can see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextSource {
    /// Path below the context, clean and without leading slash; `.` for all of it.
    pub path: String,
    /// Whether `*`, `?`, `[…]` and `\` in it are those of a pattern.
    pub pattern: bool,
    /// Whether its parent folders are copied as well (`--parents`).
    pub parents: bool,
}

/// One origin of files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The build context.
    Context(ContextSource),
    /// A stage or an image.
    From(String),
    /// A URL, and what pins its content, if anything does.
    Remote(String, Option<String>),
    /// A part of the context that this reader cannot name, and why.
    Unknown(&'static str),
}

impl ContextSource {
    /// The whole context.
    pub fn all() -> Self {
        Self {
            path: ".".to_owned(),
            pattern: false,
            parents: false,
        }
    }

    /// A path as it stands in a Dockerfile: below the context's root, which `..` does not leave.
    pub fn new(path: &str, pattern: bool) -> Self {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Self::all();
        }
        Self {
            path: parts.join("/"),
            pattern,
            parents: false,
        }
    }
}

/// Origins of a COPY or an ADD.
pub(super) fn of_copy(instruction: &Instruction, env: &Env, escape: char) -> Vec<Origin> {
    if let Some(from) = instruction.flag("from") {
        return vec![Origin::From(from.to_owned())];
    }
    let Some(words) = words_of_copy(instruction) else {
        return vec![Origin::Unknown("a list of paths is not understood")];
    };
    let Some((_, sources)) = words.split_last() else {
        return Vec::new();
    };
    let parents = instruction
        .flag("parents")
        .is_some_and(|value| value != "false");
    let mut origins = Vec::new();
    for source in sources {
        if is_heredoc(source) && !instruction.heredocs.is_empty() {
            continue;
        }
        match words::expand(source, env, escape) {
            Ok(source) if instruction.keyword == "ADD" && is_remote(&source) => {
                origins.push(remote(&source, instruction, env, escape));
                // user@host:path may be the name of a file, too, and so may what has no scheme that BuildKit knows.
                if !has_known_scheme(&source) {
                    origins.push(Origin::Context(ContextSource::new(&source, true)));
                }
            }
            Ok(source) if parents && source.contains("**") => {
                origins.push(Origin::Unknown("a `**` with --parents is not followed"));
            }
            Ok(source) => {
                let mut source = ContextSource::new(&source, true);
                source.parents = parents && source.path != ".";
                origins.push(Origin::Context(source));
            }
            Err(error) => origins.push(unknown(&error)),
        }
    }
    origins
}

/// The words of a COPY or an ADD: sources, and where they go. `None` for a list that BuildKit may be able to read.
pub(super) fn words_of_copy(instruction: &Instruction) -> Option<Vec<String>> {
    // Go reads surrogates that are not in pairs.
    let rest = &instruction.rest;
    let list = instruction.json();
    if list.is_none() && rest.starts_with('[') && rest.contains("\\u") {
        return None;
    }
    Some(list.unwrap_or_else(|| instruction.words().map(str::to_owned).collect()))
}

/// Whether a word of a COPY stands for a here-document.
pub(super) fn is_heredoc(word: &str) -> bool {
    let word = word.trim_start_matches(|ch: char| ch.is_ascii_digit());
    word.strip_prefix("<<")
        .is_some_and(|name| !name.contains('<'))
}

/// Origins of a RUN: its mounts.
pub(super) fn of_run(instruction: &Instruction, env: &Env, escape: char) -> Vec<Origin> {
    instruction
        .flag_values("mount")
        .filter_map(|mount| {
            of_mount(mount, env, escape).unwrap_or_else(|error| Some(unknown(&error)))
        })
        .collect()
}

fn of_mount(mount: &str, env: &Env, escape: char) -> Result<Option<Origin>, WordError> {
    let (mut kind, mut from, mut source) = ("bind".to_owned(), None, String::new());
    for field in csv_fields(mount) {
        let Some((key, value)) = field.split_once('=') else {
            continue;
        };
        let value = words::expand(value, env, escape)?;
        match key.to_ascii_lowercase().as_str() {
            "type" => kind = value.to_ascii_lowercase(),
            "from" => from = Some(value),
            "source" | "src" => source = value,
            _ => {}
        }
    }
    Ok(match (kind.as_str(), from) {
        // BuildKit keeps the content of secrets and of agents' sockets out of its own cache, too.
        ("tmpfs" | "secret" | "ssh", _) | ("cache", None) => None,
        (_, Some(from)) => Some(Origin::From(from)),
        _ => Some(Origin::Context(ContextSource::new(&source, false))),
    })
}

/// The fields of one line of CSV.
pub(super) fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(ch) = chars.next() {
        match (ch, fields.last_mut()) {
            ('"', Some(field)) if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (_, Some(field)) => field.push(ch),
            (_, None) => {}
        }
    }
    fields
}

fn unknown(error: &WordError) -> Origin {
    Origin::Unknown(match error {
        WordError::Syntax => "a path is malformed",
        WordError::Unknown => "the value of a variable in a path is unknown",
    })
}

/// Whether ADD may download it.
pub(super) fn is_remote(source: &str) -> bool {
    source.contains("://")
        || source
            .split_once('@')
            .is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'))
}

fn has_known_scheme(source: &str) -> bool {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| matches!(scheme, "http" | "https" | "git" | "ssh"))
}

fn remote(source: &str, instruction: &Instruction, env: &Env, escape: char) -> Origin {
    let checksum = instruction
        .flag("checksum")
        .and_then(|checksum| words::expand(checksum, env, escape).ok())
        .filter(|checksum| !checksum.is_empty());
    let commit = commit(source).map(str::to_owned);
    Origin::Remote(source.to_owned(), checksum.or(commit))
}

/// The commit that a URL of a git repository ends with. An `http` URL is a repository's only if its path ends with
/// `.git` (BuildKit's `gitutil.ParseGitRef`): a download stays one, whatever fragment it has.
fn commit(source: &str) -> Option<&str> {
    let (url, fragment) = source.split_once('#')?;
    let is_git = url.ends_with(".git")
        || url.starts_with("git://")
        || url.starts_with("ssh://")
        || !url.contains("://");
    let commit = fragment.split(':').next()?;
    (is_git && is_pinning(commit)).then_some(commit)
}

/// What BuildKit takes for a commit and not for the name of a branch (its `gitutil.IsCommitSHA`): 40 digits, none of
/// them in upper case.
fn is_pinning(commit: &str) -> bool {
    commit.len() == 40
        && commit.parse::<CommitHash>().is_ok()
        && !commit.contains(|c: char| c.is_ascii_uppercase())
}
