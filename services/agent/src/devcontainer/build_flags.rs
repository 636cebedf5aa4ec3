//! The flags of `docker buildx build`, and what hearth does with each. The table in docs/devcontainer.md says it to people.

use std::{iter::Peekable, vec::IntoIter};

use super::build_values::CACHE_SOURCE;

/// What hearth does with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Passed on. It can shape the image, so its text is in the key.
    Pass,
    /// Shows the build in another way, asks for what hearth does anyway, or is one that buildx itself ignores.
    Ignore,
    /// Left out, for this reason.
    Refuse {
        why: &'static str,
        /// Whether the image can be another one without it.
        shapes: bool,
    },
    /// The rest have a value that is looked at.
    BuildArg,
    Target,
    File,
    BuildContext,
    Secret,
    Ssh,
    Network,
    Allow,
    Platform,
    Label,
}

/// A flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// With its dashes.
    pub name: &'static str,
    /// The letter that stands for it.
    pub short: Option<char>,
    /// Whether it has a value, or is only there or not.
    pub takes_value: bool,
    pub rule: Rule,
}

const OUTPUT: Rule = refuse("hearth names, stores and pushes the image");
const NODE_FILE: Rule = refuse("it writes a file on the node");
const ATTESTATION: Rule = refuse("hearth makes images without attestations");
const NO_BUILD: Rule = refuse("hearth builds an image, and does nothing else");

const fn refuse(why: &'static str) -> Rule {
    Rule::Refuse { why, shapes: false }
}

const fn flag(name: &'static str, takes_value: bool, rule: Rule) -> Flag {
    Flag {
        name,
        short: None,
        takes_value,
        rule,
    }
}

const fn short(name: &'static str, short: char, takes_value: bool, rule: Rule) -> Flag {
    Flag {
        short: Some(short),
        ..flag(name, takes_value, rule)
    }
}

/// Those of buildx 0.13 to 0.30, hidden and experimental ones too. What is not here is left out.
pub(super) const FLAGS: [Flag; 56] = [
    flag("--add-host", true, Rule::Pass),
    flag("--allow", true, Rule::Allow),
    flag(
        "--annotation",
        true,
        refuse("hearth writes the image's manifest"),
    ),
    flag("--attest", true, ATTESTATION),
    flag("--build-arg", true, Rule::BuildArg),
    flag("--build-context", true, Rule::BuildContext),
    flag(
        "--builder",
        true,
        refuse("images are built by the node's engine"),
    ),
    flag("--cache-from", true, refuse(CACHE_SOURCE)),
    flag(
        "--cache-to",
        true,
        refuse("hearth exports the build cache itself"),
    ),
    flag("--call", true, NO_BUILD),
    flag(
        "--cgroup-parent",
        true,
        refuse("the node's control groups are not the repository's"),
    ),
    flag("--check", false, NO_BUILD),
    flag("--compress", false, Rule::Ignore),
    flag("--cpu-period", true, Rule::Ignore),
    flag("--cpu-quota", true, Rule::Ignore),
    short("--cpu-shares", 'c', true, Rule::Ignore),
    flag("--cpuset-cpus", true, Rule::Ignore),
    flag("--cpuset-mems", true, Rule::Ignore),
    short("--debug", 'D', false, Rule::Ignore),
    flag("--detach", false, Rule::Ignore),
    short("--file", 'f', true, Rule::File),
    flag("--force-rm", false, Rule::Ignore),
    short("--help", 'h', false, NO_BUILD),
    flag("--iidfile", true, NODE_FILE),
    flag("--invoke", true, NO_BUILD),
    flag("--isolation", true, Rule::Ignore),
    flag("--label", true, Rule::Label),
    flag("--load", false, Rule::Ignore),
    short("--memory", 'm', true, Rule::Ignore),
    flag("--memory-swap", true, Rule::Ignore),
    flag("--metadata-file", true, NODE_FILE),
    flag("--network", true, Rule::Network),
    flag("--no-cache", false, Rule::Pass),
    flag("--no-cache-filter", true, Rule::Pass),
    flag("--on", true, NO_BUILD),
    short("--output", 'o', true, OUTPUT),
    flag("--platform", true, Rule::Platform),
    flag(
        "--policy",
        true,
        refuse("it reads a file of the node, and what may be built is the node's decision"),
    ),
    flag("--print", true, NO_BUILD),
    flag("--progress", true, Rule::Ignore),
    flag("--provenance", true, ATTESTATION),
    flag("--pull", false, Rule::Pass),
    flag("--push", false, OUTPUT),
    short("--quiet", 'q', false, Rule::Ignore),
    flag("--rm", false, Rule::Ignore),
    flag("--root", true, NODE_FILE),
    flag("--sbom", true, ATTESTATION),
    flag("--secret", true, Rule::Secret),
    flag("--security-opt", true, Rule::Ignore),
    flag(
        "--server-config",
        true,
        refuse("images are built by the node's engine"),
    ),
    flag("--shm-size", true, Rule::Pass),
    flag("--squash", false, Rule::Ignore),
    flag("--ssh", true, Rule::Ssh),
    short("--tag", 't', true, OUTPUT),
    flag("--target", true, Rule::Target),
    flag("--ulimit", true, Rule::Pass),
];

/// A flag as it is written in a list of words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub flag: Result<&'static Flag, String>,
    /// Its value; that of a switch is `true` or `false`.
    pub value: Option<String>,
}

impl PartialEq for Flag {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Flag {}

/// Reads words as docker does (github.com/spf13/pflag): `--name value`, `--name=value`, `-f value`, `-fvalue`, `-f=value`, and
/// several letters behind one dash. No name is shortened. A word that is no flag and no value has no `flag`.
pub(super) fn read(words: Vec<String>) -> Vec<Written> {
    let mut words = words.into_iter().peekable();
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        if word.starts_with("--") && word.len() > 2 {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            all.push(written(flag, name, inline, &mut words));
            continue;
        }
        let Some(letters) = word
            .strip_prefix('-')
            .filter(|rest| !rest.is_empty() && *rest != "-")
        else {
            all.push(Written {
                flag: Err(word),
                value: None,
            });
            continue;
        };
        for (at, letter) in letters.char_indices() {
            let flag = FLAGS.iter().find(|flag| flag.short == Some(letter));
            let rest = &letters[at + letter.len_utf8()..];
            let inline = match rest.strip_prefix('=') {
                Some(value) => Some(value.to_owned()),
                None if flag.is_none_or(|flag| flag.takes_value) && !rest.is_empty() => {
                    Some(rest.to_owned())
                }
                None => None,
            };
            let ends = inline.is_some();
            all.push(written(flag, &format!("-{letter}"), inline, &mut words));
            if ends {
                break;
            }
        }
    }
    all
}

/// A flag with its value, which may be the next word. Whether one that is not known takes a value is not known either: a word
/// that is no flag is taken for it.
fn written(
    flag: Option<&'static Flag>,
    name: &str,
    inline: Option<String>,
    words: &mut Peekable<IntoIter<String>>,
) -> Written {
    let value = match (flag, inline) {
        (_, Some(value)) => Some(value),
        (Some(flag), None) if flag.takes_value => words.next(),
        (Some(_), None) => Some("true".to_owned()),
        (None, None) => words.next_if(|next| !next.starts_with('-')),
    };
    Written {
        flag: flag.ok_or_else(|| name.to_owned()),
        value,
    }
}

/// Whether a flag of `docker buildx build`, written with its dashes, takes a value. `None` for one that hearth does not know.
pub fn flag_takes_value(name: &str) -> Option<bool> {
    let flag = FLAGS.iter().find(|flag| flag.name == name)?;
    Some(flag.takes_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let tell = |written: Written| {
            let name = written
                .flag
                .map_or_else(|name| format!("?{name}"), |flag| flag.name.to_owned());
            written
                .value
                .map_or(name.clone(), |value| format!("{name}={value}"))
        };
        read(words).into_iter().map(tell).collect()
    }

    #[test]
    fn words_are_read_as_docker_reads_them() {
        for (words, expected) in [
            (
                &["--network", "host", "--no-cache"][..],
                &["--network=host", "--no-cache=true"][..],
            ),
            (
                &["--network=host=1", "--no-cache=false"],
                &["--network=host=1", "--no-cache=false"],
            ),
            // The next word is a value whatever it looks like.
            (&["--label", "--push"], &["--label=--push"]),
            (&["--pull", "word"], &["--pull=true", "?word"]),
            (
                &["-f", "a", "-fb", "-f=c"],
                &["--file=a", "--file=b", "--file=c"],
            ),
            (&["-qft", "x"], &["--quiet=true", "--file=t", "?x"]),
            (&["-qt", "x"], &["--quiet=true", "--tag=x"]),
            (&["-q=false"], &["--quiet=false"]),
            (
                &["--targ", "x", "--targ=x", "-x", "y", "-xy"],
                &["?--targ=x", "?--targ=x", "?-x=y", "?-x=y"],
            ),
            (&["--unknown", "--pull"], &["?--unknown", "--pull=true"]),
            (&["--", "-", "", "x"], &["?--", "?-", "?", "?x"]),
            (&["--network"], &["--network"]),
        ] {
            assert_eq!(told(words), expected, "{words:?}");
        }
    }

    #[test]
    fn every_flag_is_in_the_table_that_people_read() {
        let text = include_str!("../../../../docs/devcontainer.md");
        for flag in &FLAGS {
            assert!(text.contains(&format!("`{}`", flag.name)), "{}", flag.name);
        }
    }
}
