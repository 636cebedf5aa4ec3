//! Build arguments and environment variables that the words of a Dockerfile may refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    canonical::Word,
    lines::{Instruction, Lines},
    words::{self, Env, WordError},
};

/// Most that the values of a stage's variables have together, in bytes. Those beyond it are unknown.
const MAX_BYTES: usize = 256 * 1024;

/// What BuildKit adds to an image without a PATH (its `system.DefaultPathEnvUnix`).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that a stage sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    /// Values by name.
    pub seen: Env,
    /// Names that ENV set, here or in the base image.
    environment: BTreeSet<String>,
    /// Of all values that were set, in bytes.
    bytes: usize,
}

impl Variables {
    /// The environment of a base image.
    pub fn of_image(environment: &BTreeMap<String, String>) -> Self {
        let mut variables = Self::default();
        for (name, value) in environment {
            variables.set(name.clone(), Some(value.clone()));
        }
        variables.environment = environment.keys().cloned().collect();
        if variables.environment.insert("PATH".to_owned()) {
            variables.set("PATH".to_owned(), Some(DEFAULT_PATH.to_owned()));
        }
        variables
    }

    fn set(&mut self, name: String, value: Option<String>) {
        self.bytes += value.as_ref().map_or(0, String::len);
        let value = value.filter(|_| self.bytes <= MAX_BYTES);
        self.seen.insert(name, value);
    }

    /// The variables of a stage that is built on this one. Old frontends do not pass build arguments on, new ones do:
    /// their values become unknown.
    pub fn handed_on(&self) -> Self {
        let mut next = self.clone();
        for (name, value) in &mut next.seen {
            if !self.environment.contains(name) {
                *value = None;
            }
        }
        next
    }

    /// Applies an ENV, and returns what it sets.
    pub fn env(&mut self, instruction: &Instruction, escape: char) -> Vec<(String, Word)> {
        // All values see the variables as they were before.
        let values: Vec<_> = assignments(&instruction.rest, escape)
            .into_iter()
            .map(|(name, value)| {
                let known = words::expand(&value, &self.seen, escape).ok();
                (name, value, known)
            })
            .collect();
        let mut pairs = Vec::new();
        for (name, value, known) in values {
            let word = known.clone().map_or_else(|| Word::raw(&value), Word::Known);
            pairs.push((name.clone(), word));
            self.environment.insert(name.clone());
            self.set(name, known);
        }
        pairs
    }

    /// Applies an ARG of a stage and returns the names that it declares, with their values.
    pub fn arg(
        &mut self,
        instruction: &Instruction,
        escape: char,
        given: &BTreeMap<String, String>,
        global: &Globals,
    ) -> Vec<(String, Declared)> {
        let mut names = Vec::new();
        for word in words::quoted_words(&instruction.rest, escape) {
            let (name, default) = declaration(&word, &self.seen, escape);
            let default = default.map(Result::ok);
            let value = match (given.get(&name), default.clone()) {
                (Some(value), _) => Some(Some(value.clone())),
                (None, Some(default)) => Some(default),
                (None, None) => global.values.get(&name).cloned(),
            };
            let without = default.or_else(|| global.defaults.get(&name).cloned());
            names.push((
                name.clone(),
                Declared::new(&value, &without, given.contains_key(&name)),
            ));
            if let Some(value) = value {
                // Old frontends let ENV win, new ones the last one.
                let clash =
                    self.environment.contains(&name) && self.seen.get(&name) != Some(&value);
                self.set(name, value.filter(|_| !clash));
            }
        }
        names
    }
}

/// The value that an ARG gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// One that the build is given, and that the Dockerfile would not give.
    Given,
    /// One that it has by the Dockerfile alone.
    Default(String),
    /// None.
    Nothing,
    /// One that this reader does not know.
    Unknown,
}

impl Declared {
    fn new(value: &Option<Option<String>>, without: &Option<Option<String>>, given: bool) -> Self {
        match value {
            Some(Some(_)) if given && value != without => Self::Given,
            Some(Some(value)) => Self::Default(value.clone()),
            Some(None) => Self::Unknown,
            None => Self::Nothing,
        }
    }
}

/// The ARGs before the first stage.
pub(super) struct Globals {
    /// Their values.
    pub values: Env,
    /// The values that they would have if the build were given none.
    defaults: Env,
}

impl Globals {
    pub fn new(
        instructions: &[Instruction],
        escape: char,
        given: &BTreeMap<String, String>,
        predefined: Env,
    ) -> Self {
        Self {
            values: global_args(instructions, escape, given, predefined.clone()),
            defaults: global_args(instructions, escape, &BTreeMap::new(), predefined),
        }
    }

    /// Whether an argument has the value that it would have without being given.
    pub fn is_default(&self, name: &str, given: &BTreeMap<String, String>) -> bool {
        let default = self.defaults.get(name).cloned().flatten();
        default.is_some() && default.as_ref() == given.get(name)
    }
}

fn global_args(
    instructions: &[Instruction],
    escape: char,
    given: &BTreeMap<String, String>,
    predefined: Env,
) -> Env {
    let mut globals = Variables {
        seen: predefined,
        ..Variables::default()
    };
    let seen = &mut globals.seen;
    for (name, value) in given {
        if let Some(slot) = seen.get_mut(name) {
            *slot = Some(value.clone());
        }
    }
    for instruction in instructions {
        for word in words::quoted_words(&instruction.rest, escape) {
            let (name, default) = declaration(&word, &globals.seen, escape);
            match (given.get(&name), default) {
                (Some(value), _) => globals.set(name, Some(value.clone())),
                (None, Some(default)) => globals.set(name, default.ok()),
                // Old frontends forget the value, that of a platform's argument too; new ones keep it.
                (None, None) => {
                    if let Some(value) = globals.seen.get_mut(&name) {
                        *value = None;
                    }
                }
            }
        }
    }
    globals.seen
}

/// How many variables a Dockerfile sets, each as often as it does.
pub(super) fn count(lines: &Lines) -> usize {
    let instructions = lines.instructions.iter();
    let setting =
        instructions.filter(|instruction| matches!(instruction.keyword.as_str(), "ARG" | "ENV"));
    setting
        .map(|instruction| words::quoted_words(&instruction.rest, lines.escape).len())
        .sum()
}

/// Names that an ARG declares.
pub(super) fn declared(instruction: &Instruction, escape: char) -> Vec<String> {
    words::quoted_words(&instruction.rest, escape)
        .iter()
        .map(|word| declaration(word, &Env::new(), escape).0)
        .collect()
}

/// Arguments that BuildKit defines by itself. The platform of the builder is assumed to be the one that is built for.
pub(super) fn predefined(platform: &str, target: Option<&str>) -> Env {
    let mut parts = platform.splitn(3, '/');
    let (os, arch, variant) = (parts.next(), parts.next(), parts.next());
    let mut env = Env::new();
    for prefix in ["TARGET", "BUILD"] {
        let mut add = |name: &str, value: Option<&str>| {
            env.insert(
                format!("{prefix}{name}"),
                Some(value.unwrap_or_default().to_owned()),
            );
        };
        add("PLATFORM", Some(platform));
        add("OS", os);
        add("ARCH", arch);
        add("VARIANT", variant);
    }
    env.insert(
        "TARGETSTAGE".to_owned(),
        Some(target.unwrap_or("default").to_owned()),
    );
    env
}

fn declaration(
    word: &str,
    seen: &Env,
    escape: char,
) -> (String, Option<Result<String, WordError>>) {
    match word.split_once('=') {
        Some((name, default)) => {
            let name = words::expand(name, seen, escape).unwrap_or_else(|_| name.to_owned());
            (name, Some(words::expand(default, seen, escape)))
        }
        None => (
            words::expand(word, seen, escape).unwrap_or_else(|_| word.to_owned()),
            None,
        ),
    }
}

fn assignments(rest: &str, escape: char) -> Vec<(String, String)> {
    let words = words::quoted_words(rest, escape);
    if words.first().is_some_and(|first| !first.contains('=')) {
        // The old form: ENV name all the rest of the line.
        let is_blank = |ch: char| matches!(ch, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
        let (name, value) = rest.split_once(is_blank).unwrap_or((rest, ""));
        return vec![(name.to_owned(), value.trim_start().to_owned())];
    }
    words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
