//! What the devcontainer CLI says about the hooks that it runs.

use std::fmt::{self, Display};

use super::hooks::Hook;

/// A hook, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    pub hook: Hook,
    /// `devcontainer.json`, or `Feature 'ID'`.
    pub origin: &'a str,
}

impl Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.hook, self.origin)
    }
}

/// A sentence about a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A hook begins.
    Begins(Origin<'a>),
    /// One of several commands succeeded. Of others the CLI says nothing.
    CommandSucceeded(&'a str, Origin<'a>),
    /// A command failed, with this exit code: one of several, with its name, or the only one of the hook.
    Failed(Option<&'a str>, Origin<'a>, u32),
}

impl<'a> Said<'a> {
    /// The sentence in a line.
    pub fn of(line: &'a str) -> Option<Self> {
        if let Some(subject) = line.strip_suffix("...") {
            let subject = subject.strip_prefix("Running ")?;
            if let Some(hook) = subject.strip_prefix("the ").and_then(origin) {
                return Some(Self::Begins(hook));
            }
            let (command, hook) = of_several(subject)?;
            return Some(Self::CommandSucceeded(command, hook));
        }
        let (subject, code) = match line.strip_suffix(" interrupted.") {
            // The CLI takes this code for an interruption by the user, and goes on.
            Some(subject) => (subject, 130),
            None => {
                let (subject, rest) = line.rsplit_once(" failed with exit code ")?;
                let (code, _) = rest.split_once(". Skipping any further")?;
                (subject, code.parse().ok()?)
            }
        };
        if let Some(hook) = origin(subject) {
            return Some(Self::Failed(None, hook, code));
        }
        let (command, hook) = of_several(subject)?;
        Some(Self::Failed(Some(command), hook, code))
    }
}

/// `HOOK from ORIGIN`
fn origin(subject: &str) -> Option<Origin<'_>> {
    let (name, origin) = subject.split_once(" from ")?;
    let hook = Hook::ALL.into_iter().find(|hook| hook.property() == name)?;
    Some(Origin { hook, origin })
}

/// `NAME of HOOK from ORIGIN`; the name can be any text.
fn of_several(subject: &str) -> Option<(&str, Origin<'_>)> {
    let ends = subject.match_indices(" of ");
    ends.map(|(at, of)| (&subject[..at], &subject[at + of.len()..]))
        .find_map(|(name, rest)| Some((name, origin(rest)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_read_and_other_lines_are_not() {
        let from = |hook, origin| Origin { hook, origin };
        let config = from(Hook::PostCreate, "devcontainer.json");
        for (line, said) in [
            (
                "Running the onCreateCommand from Feature './tool'...",
                Said::Begins(from(Hook::OnCreate, "Feature './tool'")),
            ),
            (
                "Running server of postCreateCommand from devcontainer.json...",
                Said::CommandSucceeded("server", config),
            ),
            (
                "Running a of b from c of postCreateCommand from devcontainer.json...",
                Said::CommandSucceeded("a of b from c", config),
            ),
            (
                "postCreateCommand from devcontainer.json failed with exit code 9. Skipping any further user-provided commands.",
                Said::Failed(None, config, 9),
            ),
            (
                "x of postCreateCommand from devcontainer.json failed with exit code 255. Skipping any further user-provided commands.",
                Said::Failed(Some("x"), config, 255),
            ),
            (
                "postCreateCommand from devcontainer.json interrupted.",
                Said::Failed(None, config, 130),
            ),
        ] {
            assert_eq!(Said::of(line), Some(said), "{line}");
        }
        for line in [
            "",
            "...",
            "Running tests from here...",
            "Running the tests from here...",
            "Running postCreateCommand...",
            "postCreateCommand interrupted.",
            "the build from yesterday failed with exit code 3. Skipping any further tests",
            "postCreateCommand from x failed with exit code many. Skipping any further",
            "postAttachCommand from x failed with exit code 1. Skipping any further",
        ] {
            assert_eq!(Said::of(line), None, "{line}");
        }
    }
}
