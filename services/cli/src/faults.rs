//! What is wrong with an argument, in the words of the command line.

use std::{fmt::Display, str::FromStr};

use clap::{Arg, ArgMatches, Command};
use hearth_domain::{
    is_loopback, split_port,
    text::{printable_line, shortened},
};

/// More of a value is not needed to recognise it.
const MAX_SHOWN: usize = 80;

/// `--ref 'a..b' is not the name of a branch, tag or commit`; `error` completes the sentence.
fn fault(name: &str, value: &str, error: &dyn Display) -> String {
    match shown(value) {
        value if value.is_empty() => format!("{name} {error}"),
        value => format!("{name} '{value}' {error}"),
    }
}

/// `--config`, or `REPO` for a positional argument.
pub(crate) fn name(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([value, ..])) => value.to_string(),
        (None, _) => argument.get_id().to_string(),
    }
}

/// What was probably meant, likeliest first; the caller takes the first one that it can read.
fn likely(text: &str) -> impl Iterator<Item = String> {
    let plain = text.trim().trim_end_matches('/');
    let bare = plain.split(['?', '#']).next().unwrap_or_default();
    let has_scheme = bare.contains("://");
    let (scheme, rest) = bare.split_once("://").unwrap_or(("", bare));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let mut parts = rest.split('/');
    let [host, owner, repository] = [(); 3].map(|()| parts.next().unwrap_or_default());
    // Owners on GitHub have no dots and hosts have.
    let has_host = has_scheme || host.contains(['.', ':']) || host == "localhost";
    // Addresses of control planes have no path, and repositories have.
    let is_address = has_host && !rest.contains('/');
    let (is_here, has_port) = (is_loopback(host), split_port(host).1.is_some());
    let folder = bare.strip_suffix("/devcontainer.json").unwrap_or(bare);
    [
        (is_address && is_here && has_port, format!("http://{host}")),
        (is_address && is_here, format!("http://{host}:7400")),
        (is_address && !has_port, format!("https://{host}:7400")),
        // An address of a page of a repository, or one with a login.
        (
            has_scheme && rest.contains('/'),
            format!("{scheme}://{rest}"),
        ),
        (has_host, format!("https://{rest}")),
        (has_host, format!("https://{host}/{owner}/{repository}")),
        (has_host, format!("http://{host}")),
        (has_host, format!("https://{host}")),
        (
            !has_host && plain.starts_with(|c: char| c.is_ascii_alphanumeric()),
            format!("https://github.com/{plain}"),
        ),
        (true, folder.trim_start_matches(".devcontainer/").to_owned()),
        (true, plain.to_lowercase()),
    ]
    .into_iter()
    .filter_map(|(fits, meant)| (fits && !meant.is_empty()).then_some(meant))
}

/// Parses the value of what is called `name`. The error says what is wrong with it, and what was probably meant.
pub(crate) fn read<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| {
        let fault = fault(name, text, &error);
        match likely(text).find(|meant| meant.parse::<T>().is_ok()) {
            Some(meant) => format!("{fault}\n  did you mean {meant}?"),
            None => fault,
        }
    })
}

/// The command line that the user gave, and what it was read by.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) command: Command,
    pub(crate) matches: ArgMatches,
}

impl Given {
    /// What is wrong with a field of a request, `spec.ref` for example, by the argument that set it.
    pub(crate) fn of_field(&self, field: &str, error: &dyn Display) -> String {
        let (mut command, mut matches) = (&self.command, &self.matches);
        while let Some((name, inner)) = matches.subcommand() {
            let Some(subcommand) = command.find_subcommand(name) else {
                break;
            };
            (command, matches) = (subcommand, inner);
        }
        let Some(argument) = argument_of(field, command) else {
            return format!("{} {error}", printable_line(field));
        };
        let value = matches.try_get_raw(argument.get_id().as_str());
        let value = value.ok().flatten().and_then(|mut values| values.next());
        let value = value.unwrap_or_default().to_string_lossy();
        fault(&name(argument), &value, error)
    }
}

fn argument_of<'a>(field: &str, command: &'a Command) -> Option<&'a Arg> {
    let field = field.rsplit('.').next().unwrap_or(field);
    let ids: &[&str] = match field {
        "repository" => &["repository", "subject"],
        "workspace_id" => &["workspace", "subject"],
        "ref" => &["git_ref"],
        "timeout_seconds" => &["timeout"],
        "cache_access" => &["cache"],
        "after_sequence" => &["after"],
        "valid_seconds" => &["days"],
        same => &[same],
    };
    let mut arguments = command.get_arguments();
    arguments.find(|argument| ids.contains(&argument.get_id().as_str()))
}

/// A value as it may be repeated: on one line, not too long, and without what may be a password or a token.
fn shown(value: &str) -> String {
    let line = printable_line(value);
    let end = line.find(['?', '#']);
    let (line, query) = line.split_at(end.unwrap_or(line.len()));
    let query = if query.is_empty() { "" } else { "?…" };
    let line = match line.rsplit_once('@') {
        Some((user, rest))
            if user != "git" && (user.contains(':') || rest.contains([':', '/'])) =>
        {
            format!("…@{rest}")
        }
        _ => line.to_owned(),
    };
    shortened(&(line + query), MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use hearth_domain::{ConfigName, GitRef, Repository, WorkspaceId};

    use super::*;
    use crate::{address::Address, args::Cli};

    fn meant<T: FromStr<Err: Display>>(text: &str) -> Option<String> {
        let fault = read::<T>("X", text).map(|_| text).unwrap_err();
        let (_, meant) = fault.split_once("\n  did you mean ")?;
        meant.strip_suffix('?').map(str::to_owned)
    }

    #[test]
    fn what_was_probably_meant_is_a_value_that_can_be_read() {
        for (wrong, right) in [
            ("owner/repo", "https://github.com/owner/repo"),
            ("github.com/owner/repo", "https://github.com/owner/repo"),
            ("git.example:8080/a/b/c", "https://git.example:8080/a/b/c"),
            (
                "https://github.com/owner/repo/tree/main",
                "https://github.com/owner/repo",
            ),
            (
                "https://github.com/owner/repo?tab=readme#top",
                "https://github.com/owner/repo",
            ),
            ("https://u:p@git.example/a", "https://git.example/a"),
            (" https://git.example/a ", "https://git.example/a"),
        ] {
            assert_eq!(meant::<Repository>(wrong).as_deref(), Some(right));
        }
        for nothing in ["", ".", "./here", "/srv/repo", "repo", "file:///etc"] {
            assert_eq!(meant::<Repository>(nothing), None, "{nothing}");
        }
        for (wrong, right) in [
            ("localhost:7400", "http://localhost:7400"),
            ("127.0.0.1", "http://127.0.0.1:7400"),
            ("plane.example", "https://plane.example:7400"),
            ("http://plane.example:1", "https://plane.example:1"),
            ("https://plane.example:1/x", "https://plane.example:1"),
            ("http://[::1]:7400/x", "http://[::1]:7400"),
        ] {
            assert_eq!(meant::<Address>(wrong).as_deref(), Some(right));
        }
        let path = ".devcontainer/gpu/devcontainer.json";
        let read = read::<ConfigName>("X", path);
        assert_eq!(read.as_ref().map(ConfigName::as_str), Ok("gpu"));
        let line = format!("{path}#L3");
        assert_eq!(meant::<ConfigName>(&line).as_deref(), Some("gpu"));
        assert_eq!(meant::<WorkspaceId>("WS-1 ").as_deref(), Some("ws-1"));
        assert_eq!(meant::<GitRef>(" "), None);
    }

    #[test]
    fn a_value_is_repeated_without_what_may_be_secret_or_too_long() {
        let long = "x".repeat(500);
        for (value, expected) in [
            ("a..b", "a..b"),
            ("v1@2..x", "v1@2..x"),
            ("git@git.example:a b", "git@git.example:a b"),
            ("https://robot:planted@git.example/a b", "…@git.example/a b"),
            ("https://a:b@planted@git.example/", "…@git.example/"),
            ("planted@git.example/a", "…@git.example/a"),
            (
                "https://git.example/a?token=planted",
                "https://git.example/a?…",
            ),
            ("\u{1b}[31mred\u{7}", "red"),
            (&long, &(long[..MAX_SHOWN].to_owned() + "…")),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn a_field_of_a_request_is_named_by_the_argument_that_set_it() {
        let line = |field: &str, arguments: &str| {
            let matches = Cli::command()
                .try_get_matches_from(arguments.split(' '))
                .expect("good arguments");
            let command = Cli::command();
            Given { command, matches }.of_field(field, &"is wrong")
        };
        let up = "hearth up https://a/b --ref r --config c --node n --request-id i --timeout 5";
        for (field, expected) in [
            ("spec.repository", "REPO 'https://a/b' is wrong"),
            ("spec.ref", "--ref 'r' is wrong"),
            ("spec.config", "--config 'c' is wrong"),
            ("spec.timeout_seconds", "--timeout '5' is wrong"),
            ("node", "--node 'n' is wrong"),
            ("request_id", "--request-id 'i' is wrong"),
            ("page_token", "page_token is wrong"),
        ] {
            assert_eq!(line(field, up), expected);
        }
        for (arguments, field, expected) in [
            ("hearth get w", "workspace_id", "ID 'w' is wrong"),
            (
                "hearth up --workspace w",
                "workspace_id",
                "--workspace 'w' is wrong",
            ),
            (
                "hearth cache explain w",
                "workspace_id",
                "WORKSPACE|REPO 'w' is wrong",
            ),
            (
                "hearth cache rm https://a/b --key k",
                "key",
                "--key 'k' is wrong",
            ),
            (
                "hearth doctor https://a/b --ref r",
                "ref",
                "--ref 'r' is wrong",
            ),
        ] {
            assert_eq!(line(field, arguments), expected);
        }
    }
}
