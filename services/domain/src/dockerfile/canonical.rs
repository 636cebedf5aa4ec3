//! Instructions as they are written down: what BuildKit makes the same steps of has one form.
//!
//! Each form has all that BuildKit takes from the instruction, and leaves out how it is spelled. What is not known for sure
//! stays as it stands in the Dockerfile, in a form that nothing else has.

use serde::Serialize;

use super::{
    lines::{Heredoc, Instruction},
    sources::{ContextSource, csv_fields, is_heredoc, is_remote, words_of_copy},
    stages::{self, Stage},
    words::{self, Env},
};

/// One instruction of a stage that is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    keyword: String,
    flags: Vec<String>,
    arguments: Arguments,
    heredocs: Vec<Heredoc>,
    /// Stages that it takes files from, or starts from, by their places in the Dockerfile.
    stages: Vec<usize>,
}

/// What an instruction is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Arguments {
    /// As it stands there.
    Text(String),
    /// Words, with the values of variables.
    Words(Vec<Word>),
    /// Names and values.
    Pairs(Vec<(String, Word)>),
}

/// A word of an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Word {
    /// What BuildKit reads.
    Known(String),
    /// As it stands there: the value of a variable in it is not known.
    Raw { raw: String },
    /// A value that the build is given by this name.
    Given { given: String },
    /// A declaration without a value.
    Unset(()),
}

impl Word {
    pub fn raw(text: &str) -> Self {
        Self::Raw {
            raw: text.to_owned(),
        }
    }

    fn expanded(text: &str, env: &Env, escape: char) -> Self {
        words::expand(text, env, escape).map_or_else(|_| Self::raw(text), Self::Known)
    }
}

/// Instructions that say something about the image of a stage, and do nothing in it.
pub(super) fn is_about_image(keyword: &str) -> bool {
    matches!(
        keyword,
        "CMD" | "ENTRYPOINT" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "MAINTAINER" | "STOPSIGNAL"
    )
}

impl Step {
    pub fn of_pairs(keyword: &str, pairs: Vec<(String, Word)>) -> Self {
        Self::new(keyword, Arguments::Pairs(pairs))
    }

    pub fn keyword(&self) -> &str {
        &self.keyword
    }

    pub fn of_text(keyword: &str, text: &str) -> Self {
        Self::new(keyword, Arguments::Text(text.to_owned()))
    }

    /// The beginning of a stage: from a stage, an image by its number, or nothing.
    pub fn of_from(base: Arguments, stage: Option<usize>, platform: Vec<String>) -> Self {
        Self {
            flags: platform,
            stages: stage.into_iter().collect(),
            ..Self::new("FROM", base)
        }
    }

    fn new(keyword: &str, arguments: Arguments) -> Self {
        Self {
            keyword: keyword.to_owned(),
            flags: Vec::new(),
            arguments,
            heredocs: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// Any other instruction, in a place where variables have these values.
    pub fn of(instruction: &Instruction, env: &Env, escape: char, all: &[Stage<'_>]) -> Self {
        let Instruction {
            keyword,
            flags,
            rest,
            heredocs,
        } = instruction;
        let known = |word: &String| Word::expanded(word, env, escape);
        let list = || instruction.json();
        let literal =
            |words: Vec<String>| Arguments::Words(words.into_iter().map(Word::Known).collect());
        let (mut heredocs, mut arguments) = (heredocs.clone(), None);
        match keyword.as_str() {
            "ADD" | "COPY" => {
                let words = words_of_copy(instruction);
                let last = words.as_ref().map_or(0, Vec::len).saturating_sub(1);
                arguments = words.map(|words| {
                    let is_marker = |word: &String| !heredocs.is_empty() && is_heredoc(word);
                    let word = |(at, word): (usize, &String)| match known(word) {
                        _ if is_marker(word) => Word::raw(word),
                        Word::Known(path) if at < last => Word::Known(source(path, instruction)),
                        word => word,
                    };
                    Arguments::Words(words.iter().enumerate().map(word).collect())
                });
            }
            "RUN" if is_script(rest, &heredocs) => {
                // It is the script of a shell, which sees neither the name nor the quotes.
                heredocs[0].name.clear();
                heredocs[0].expand = true;
                arguments = Some(Arguments::Words(Vec::new()));
            }
            "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => arguments = list().map(literal),
            "USER" | "WORKDIR" | "STOPSIGNAL" => {
                if let word @ Word::Known(_) = known(rest) {
                    arguments = Some(Arguments::Words(vec![word]));
                }
            }
            _ => {}
        }
        let mut step = Self {
            heredocs,
            ..Self::new(
                keyword,
                arguments.unwrap_or_else(|| Arguments::Text(rest.clone())),
            )
        };
        for flag in flags {
            let flag = step.flag(flag, keyword, env, escape, all);
            step.flags.push(flag);
        }
        // Those of one name keep their order, and names have none.
        step.flags
            .sort_by(|one, two| name_of(one).cmp(name_of(two)));
        step
    }

    /// A flag; the name of a stage in it becomes `#`.
    fn flag(
        &mut self,
        flag: &str,
        keyword: &str,
        env: &Env,
        escape: char,
        all: &[Stage<'_>],
    ) -> String {
        let Some((name, value)) = flag.split_once('=') else {
            return flag.to_owned();
        };
        match (keyword, name) {
            ("COPY", "--from") => match stages::named(all, value) {
                Some(stage) => {
                    self.stages.push(stage);
                    "--from=#".to_owned()
                }
                None => flag.to_owned(),
            },
            ("ADD" | "COPY", "--chmod")
                if value.bytes().all(|byte| matches!(byte, b'0'..=b'7')) =>
            {
                match value.trim_start_matches('0') {
                    // All rights are taken, unless nothing was said of them.
                    "" if !value.is_empty() => format!("{name}=0"),
                    digits => format!("{name}={digits}"),
                }
            }
            ("RUN", "--mount") => {
                let mut fields = csv_fields(value);
                for field in &mut fields {
                    let Some((key, from)) = field.split_once('=') else {
                        continue;
                    };
                    let from = words::expand(from, env, escape).ok();
                    let stage = from.filter(|_| key.eq_ignore_ascii_case("from"));
                    if let Some(stage) = stage.and_then(|from| stages::named(all, &from)) {
                        self.stages.push(stage);
                        *field = "from=#".to_owned();
                    }
                }
                format!("{name}={}", serde_json::json!(fields))
            }
            _ => flag.to_owned(),
        }
    }

    /// The step as JSON, with stages by their numbers among those that are built.
    pub fn text(&self, number: impl Fn(usize) -> usize) -> String {
        let Self {
            keyword,
            flags,
            arguments,
            heredocs,
            stages,
        } = self;
        let stages: Vec<usize> = stages.iter().map(|stage| number(*stage)).collect();
        // Strings, lists of strings and numbers always serialise.
        serde_json::to_string(&(keyword, flags, arguments, heredocs, stages)).unwrap_or_default()
    }
}

/// The path of a source: BuildKit reads it from the root of the context or the stage, and cleans it, but for a `--parents`
/// where `./` has a meaning.
fn source(path: String, instruction: &Instruction) -> String {
    if instruction.flag("parents").is_some() || instruction.keyword == "ADD" && is_remote(&path) {
        return path;
    }
    ContextSource::new(&path, true).path
}

fn name_of(flag: &str) -> &str {
    flag.split('=').next().unwrap_or_default()
}

/// Whether a RUN is one here-document that a shell runs as it is: nothing but its name stands in the line, and the document
/// names no program of its own, which would be started as a file of that name.
fn is_script(rest: &str, heredocs: &[Heredoc]) -> bool {
    let [heredoc] = heredocs else { return false };
    let name = rest
        .strip_prefix("<<")
        .map(|name| name.strip_prefix('-').unwrap_or(name));
    name.is_some_and(|name| {
        !name.is_empty() && !name.contains(['<', '$', '\\']) && !name.contains(char::is_whitespace)
    }) && !heredoc.content.starts_with("#!")
}
