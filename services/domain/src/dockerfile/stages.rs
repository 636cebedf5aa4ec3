//! Stages of a Dockerfile, and the names by which they refer to each other.

use std::ops::Range;

use super::lines::{Instruction, Lines};

/// One stage: a FROM and what follows it.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    /// Its FROM.
    pub from: &'a Instruction,
    /// Image or stage that it starts from, as written.
    pub base: &'a str,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// Its instructions.
    pub body: &'a [Instruction],
}

/// Global ARGs and stages. `None` when a FROM is malformed or there is none.
pub(super) fn split(lines: &Lines) -> Option<(&[Instruction], Vec<Stage<'_>>)> {
    let all = &lines.instructions;
    let starts: Vec<usize> = (0..all.len())
        .filter(|&at| all[at].keyword == "FROM")
        .collect();
    let first = *starts.first()?;
    if all[..first].iter().any(|before| before.keyword != "ARG") {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([all.len()]);
    let stages = starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| stage(all, start..end));
    Some((&all[..first], stages.collect::<Option<_>>()?))
}

fn stage(all: &[Instruction], range: Range<usize>) -> Option<Stage<'_>> {
    let from = &all[range.start];
    let words: Vec<&str> = from.words().collect();
    let (base, name) = match words[..] {
        [base] => (base, None),
        [base, r#as, name] if r#as.eq_ignore_ascii_case("as") => (base, Some(name.to_lowercase())),
        _ => return None,
    };
    Some(Stage {
        from,
        base,
        name,
        body: &all[range.start + 1..range.end],
    })
}

/// The stage that FROM means by `name`: one that stands before it.
pub(super) fn before(stages: &[Stage<'_>], at: usize, name: &str) -> Option<usize> {
    stages[..at]
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(name))
}

/// The stage that `--from`, `from=` or a target means by `name`, which may be its number.
pub(super) fn named(stages: &[Stage<'_>], name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    stages
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(lower.as_str()))
        .or_else(|| name.parse().ok().filter(|&number| number < stages.len()))
}
