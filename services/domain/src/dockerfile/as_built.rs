//! The Dockerfile that the devcontainer CLI builds in place of the repository's.
//!
//! The CLI (read at 0.89) finds the last stage by a regular expression, gives it a name if it has none, puts an ARG in
//! front and a stage of its own behind, and builds that stage. So triggers of ONBUILD fire there, a FROM in a
//! here-document can be the one that is built, and a directive that is not `# syntax=` is none any more.

use super::lines::{self, DockerfileError};

/// The stage that the CLI builds.
const STAGE: &str = "dev_containers_target_stage";
/// The build argument that tells it what to build upon.
const BASE: &str = "_DEV_CONTAINERS_BASE_IMAGE";
/// The name that the CLI gives to a last stage without one.
const UNNAMED: &str = "dev_container_auto_added_stage_label";

/// What the CLI gives to BuildKit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsBuilt {
    /// The Dockerfile, but for what the CLI itself says in its stage.
    pub text: String,
    /// The stage that is built.
    pub target: &'static str,
    /// The build argument of the CLI's, by name.
    pub arg: (&'static str, String),
    /// Lines that the user of the image depends on beside what BuildKit reads. It matters where features are installed.
    pub read_by_cli: Vec<String>,
}

/// What is built from the Dockerfile `text` and the target of a configuration.
pub fn as_built(text: &str, target: Option<&str>) -> Result<AsBuilt, DockerfileError> {
    let error = |why| DockerfileError { line: 1, why };
    // Ends of lines and white space for JavaScript alone, or for everybody else.
    if text
        .replace("\r\n", "\n")
        .contains(['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
    {
        return Err(error(
            "a character that not all programs take for the end of a line",
        ));
    }
    let syntax = syntax(text);
    let (named, stage) = match target {
        Some(target) => (text.to_owned(), target.to_owned()),
        None => {
            last_stage(text).ok_or(error("a last FROM that the devcontainer CLI cannot read"))?
        }
    };
    let named = without_syntax(&named);
    let syntax = syntax
        .map(|name| format!("# syntax={name}"))
        .unwrap_or_default();
    Ok(AsBuilt {
        read_by_cli: read_by_cli(text),
        text: format!("{syntax}\nARG {BASE}=scratch\n{named}\n\nFROM ${BASE} AS {STAGE}\n"),
        target: STAGE,
        arg: (BASE, stage),
    })
}

/// The frontend by the first of the directives, each of which is `# name = value`.
fn syntax(text: &str) -> Option<&str> {
    let head = text.lines().take_while(|line| after_from(line).is_none());
    head.map_while(directive)
        .find(|(name, _)| *name == "syntax")
        .map(|(_, value)| value)
}

/// `^\s*#\s*(\S+)\s*=\s*(.+)`
fn directive(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().strip_prefix('#')?.trim_start();
    let word = line.find(char::is_whitespace).unwrap_or(line.len());
    let apart = line[word..]
        .trim_start()
        .strip_prefix('=')
        .map(|value| (&line[..word], value));
    // A name may contain the sign itself: the last one separates.
    let within = line[..word]
        .rfind('=')
        .map(|at| (&line[..at], &line[at + 1..]));
    let (name, value) = apart.or(within)?;
    let value = value.trim_start();
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
}

/// Without a directive at the very beginning: `^\s*#\s*syntax\s*=.*[\r\n]`.
fn without_syntax(text: &str) -> &str {
    let after = |text: &'_ str, word: &str| -> Option<usize> {
        let rest = text.trim_start();
        rest.starts_with(word)
            .then(|| text.len() - rest.len() + word.len())
    };
    let mut at = 0;
    for word in ["#", "syntax", "="] {
        match after(&text[at..], word) {
            Some(length) => at += length,
            None => return text,
        }
    }
    text[at..].split_once('\n').map_or(text, |(_, rest)| rest)
}

/// What follows the word FROM at the beginning of a line.
fn after_from(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let word = line.get(..4)?;
    word.eq_ignore_ascii_case("from").then(|| &line[4..])
}

/// The text with a name for the stage of its last FROM, and that name.
fn last_stage(text: &str) -> Option<(String, String)> {
    let (mut end, mut last) = (0, None);
    for line in text.split_inclusive('\n') {
        end += line.len();
        last = after_from(line).map(|from| (end, from)).or(last);
    }
    let (end, from) = last?;
    let (image, rest) = word(from).filter(|_| from.starts_with(char::is_whitespace))?;
    let flag = image.get(..11).filter(|_| image.len() > 11);
    let is_platform = flag.is_some_and(|flag| flag.eq_ignore_ascii_case("--platform="));
    let rest = match word(rest) {
        Some((_, rest)) if is_platform => rest,
        _ => rest,
    };
    let label = word(rest).filter(|(word, _)| word.eq_ignore_ascii_case("as"));
    if let Some((label, _)) = label.and_then(|(_, rest)| word(rest)) {
        return Some((text.to_owned(), label.to_owned()));
    }
    let (before, after) = text.split_at(end - rest.len());
    let named = format!("{before} AS {UNNAMED}{after}");
    Some((named, UNNAMED.to_owned()))
}

/// The first word, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What the CLI finds the user of the image by, for the stage of features: lines that begin with one of these words,
/// wherever they are. Nothing where BuildKit reads the same and no value of a variable matters.
fn read_by_cli(text: &str) -> Vec<String> {
    let mut read = Vec::new();
    for line in text.lines() {
        let Some((keyword, rest)) = word(line) else {
            continue;
        };
        let keyword = keyword.to_ascii_uppercase();
        if matches!(keyword.as_str(), "ARG" | "ENV" | "FROM" | "USER") && !rest.trim().is_empty() {
            read.push((keyword, rest.trim()));
        }
    }
    // Values matter where USER has a variable; without one, instructions over several lines are nothing special.
    let value = |keyword: &str, value: &str| {
        let value = value.trim_end();
        if keyword == "USER" {
            value.to_owned()
        } else {
            String::new()
        }
    };
    let has_variable = |(keyword, rest): &(String, &str)| keyword == "USER" && rest.contains('$');
    let seen = read
        .iter()
        .map(|(keyword, rest)| (keyword.clone(), value(keyword, rest)));
    let plain = !read.iter().any(has_variable)
        && lines::parse(text).is_ok_and(|parsed| {
            let parsed = parsed.instructions.iter();
            let parsed = parsed.filter(|instruction| {
                matches!(
                    instruction.keyword.as_str(),
                    "ARG" | "ENV" | "FROM" | "USER"
                )
            });
            parsed
                .map(|instruction| {
                    let keyword = &instruction.keyword;
                    (keyword.clone(), value(keyword, &instruction.rest))
                })
                .eq(seen)
        });
    if plain {
        return Vec::new();
    }
    read.iter()
        .map(|(keyword, rest)| format!("{keyword} {rest}"))
        .collect()
}
