//! Instructions of a Dockerfile: directives, continued lines, comments between them, here-documents.
//!
//! The rules are those of BuildKit's `frontend/dockerfile/parser`. There are crates that parse Dockerfiles
//! (`parse-dockerfile` 0.1, `dockerfile-parser-rs` 3.4, `dockerfile-parser` 0.9), and none of them can be trusted with
//! a cache key: they know here-documents only as the first word of RUN, only by the name EOF, or not at all. The body
//! of `RUN cat <<END >/x` would then be read as instructions, and a line `FROM …` in it would move the last stage.

use serde::Serialize;

use super::{
    directives::{Directives, foreign_syntax},
    words::{self, WordError},
};
use crate::text::without_mark;

/// Why a Dockerfile cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct DockerfileError {
    /// Line where the instruction begins, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// One instruction, with continued lines joined and comments removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Instruction {
    /// In upper case.
    pub keyword: String,
    /// Words before the arguments that begin with `--`.
    pub flags: Vec<String>,
    /// Everything else on the line.
    pub rest: String,
    /// Bodies of its here-documents.
    pub heredocs: Vec<Heredoc>,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Heredoc {
    pub name: String,
    /// Leading tabs are removed from its lines.
    pub chomp: bool,
    /// Variables in it are substituted.
    pub expand: bool,
    pub content: String,
}

/// A Dockerfile as a list of instructions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Value of the syntax directive, without its arguments.
    pub syntax: Option<String>,
    /// The escape character.
    pub escape: char,
    pub instructions: Vec<Instruction>,
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

impl Instruction {
    /// The instruction that ONBUILD defers.
    pub fn deferred(&self, escape: char) -> Result<Self, DockerfileError> {
        let mut inner = Self::of_line(&self.rest, escape, 0)?;
        inner.heredocs.clone_from(&self.heredocs);
        Ok(inner)
    }

    /// The arguments, where they are in JSON form as BuildKit reads it.
    pub fn json(&self) -> Option<Vec<String>> {
        serde_json::from_str(&self.rest).ok()
    }

    /// The arguments as words, of which only ASCII white space is between.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.rest
            .split(['\t', '\x0b', '\x0c', '\r', ' '])
            .filter(|word| !word.is_empty())
    }

    /// Value of a flag; the last one counts.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flag_values(name).last()
    }

    /// Values of a flag that may be repeated. A flag without a value is `""`.
    pub fn flag_values(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.flags.iter().filter_map(move |flag| {
            let (flag_name, value) = flag.split_once('=').unwrap_or((flag, ""));
            (flag_name.strip_prefix("--")? == name).then_some(value)
        })
    }

    fn of_line(line: &str, escape: char, number: usize) -> Result<Self, DockerfileError> {
        let line = line.trim();
        let (keyword, rest) = line
            .split_once(['\t', '\x0b', '\x0c', '\r', ' '])
            .unwrap_or((line, ""));
        let keyword = keyword.to_ascii_uppercase();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(DockerfileError {
                line: number,
                why: "an unknown instruction",
            });
        }
        let (flags, rest) = split_flags(rest, escape);
        Ok(Self {
            keyword,
            flags,
            rest: rest.trim().to_owned(),
            heredocs: Vec::new(),
        })
    }

    fn may_have_heredocs(&self, escape: char) -> bool {
        match self.keyword.as_str() {
            "ADD" | "COPY" | "RUN" => self.json().is_none(),
            "ONBUILD" => self
                .deferred(escape)
                .is_ok_and(|inner| inner.keyword != "ONBUILD" && inner.may_have_heredocs(escape)),
            _ => false,
        }
    }
}

/// Reads the instructions of a Dockerfile.
pub(super) fn parse(text: &str) -> Result<Lines, DockerfileError> {
    let text = without_mark(text);
    let mut directives = Directives::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    let mut instructions = Vec::new();
    while let Some((number, raw)) = lines.next() {
        let number = number + 1;
        let line = raw.trim_end_matches(['\r', '\n']).trim_start();
        directives
            .read(line)
            .map_err(|why| DockerfileError { line: number, why })?;
        if line.starts_with('#') {
            continue;
        }
        let escape = directives.escape;
        let (first, mut continued) = without_continuation(line, escape);
        if first.is_empty() && !continued {
            continue;
        }
        let mut joined = first.to_owned();
        while continued {
            let Some((_, raw)) = lines.next() else { break };
            let line = raw.trim_end_matches(['\r', '\n']);
            let content = line.trim_start();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (part, more) = without_continuation(line, escape);
            joined.push_str(part);
            continued = more;
        }
        let mut instruction = Instruction::of_line(&joined, escape, number)?;
        if joined.contains("<<") && instruction.may_have_heredocs(escape) {
            let heredocs = heredocs_of(&joined).ok_or(DockerfileError {
                line: number,
                why: "too deep: variables in variables",
            })?;
            for mut heredoc in heredocs {
                loop {
                    let (_, raw) = lines.next().ok_or(DockerfileError {
                        line: number,
                        why: "a here-document without an end",
                    })?;
                    let end = raw.trim_end_matches(['\r', '\n']);
                    let end = if heredoc.chomp {
                        end.trim_start_matches('\t')
                    } else {
                        end
                    };
                    if end == heredoc.name {
                        break;
                    }
                    heredoc.content.push_str(raw);
                }
                instruction.heredocs.push(heredoc);
            }
        }
        instructions.push(instruction);
    }
    Ok(Lines {
        syntax: directives.syntax.or_else(|| foreign_syntax(text)),
        escape: directives.escape,
        instructions,
    })
}

/// A line without the escape character that joins it to the next one, and whether it had one. An escaped escape
/// character does not count.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let end = line.trim_end_matches([' ', '\t']);
    match end.strip_suffix(escape) {
        Some(body) if !body.ends_with(escape) => (body, true),
        _ => (line, false),
    }
}

fn split_flags(line: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.starts_with("--") {
        let mut word = String::new();
        let mut quote = None;
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, mut ch)) = chars.next() {
            match quote {
                None if ch.is_whitespace() => {
                    end = at;
                    break;
                }
                None if ch == '\'' || ch == '"' => {
                    quote = Some(ch);
                    continue;
                }
                Some(open) if ch == open => {
                    quote = None;
                    continue;
                }
                _ => {}
            }
            if ch == escape {
                match chars.next() {
                    Some((_, next)) => ch = next,
                    None => continue,
                }
            }
            word.push(ch);
        }
        rest = rest[end..].trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

/// `None` for a line that BuildKit may be able to split.
fn heredocs_of(line: &str) -> Option<Vec<Heredoc>> {
    let words = match words::raw_words(line) {
        Ok(words) => words,
        // BuildKit ignores that error, too: such a line has none.
        Err(WordError::Syntax) => Vec::new(),
        Err(WordError::Unknown) => return None,
    };
    let heredocs = words
        .iter()
        .filter_map(|word| {
            let rest = word
                .trim_start_matches(|ch: char| ch.is_ascii_digit())
                .strip_prefix("<<")?;
            let (chomp, rest) = match rest.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            let rest = rest.trim_start();
            if rest.is_empty() || rest.contains('<') {
                return None;
            }
            let (name, quoted) = words::unquote(rest).ok()?;
            Some(Heredoc {
                name,
                chomp,
                expand: !quoted,
                content: String::new(),
            })
        })
        .collect();
    Some(heredocs)
}
