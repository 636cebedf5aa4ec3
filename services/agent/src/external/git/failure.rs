//! What git's output means.

use crate::external::process::{ProcessFailure, error_line};

/// Why a clone failed.
#[derive(Clone, Debug)]
pub enum CloneFailure {
    /// The remote has no such branch, tag or commit. With names that it has, a few of them.
    RefNotFound(ProcessFailure, Vec<String>),
    /// The git host asked for a login, or did not accept the one that it got.
    LoginRefused(ProcessFailure),
    /// The node's disk is full.
    DiskFull(ProcessFailure),
    /// Anything else.
    Failed(ProcessFailure),
}

const REF_NOT_FOUND: [&str; 5] = [
    "not found in upstream",
    "not our ref",
    "couldn't find remote ref",
    "reference is not a tree",
    "Server does not allow request for unadvertised object",
];
const LOGIN_REFUSED: [&str; 4] = [
    "Authentication failed",
    "returned error: 401",
    "returned error: 403",
    // Git would ask for another login on a terminal.
    "terminal prompts disabled",
];
const DISK_FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
/// Errors of a file that the node's file system cannot have. All other files are there.
const NOT_STORABLE: [&str; 4] = [
    ": File name too long",
    ": Invalid argument",
    ": Is a directory",
    ": Not a directory",
];

/// What git says, and what can be done about it. The first text that is found counts.
const ADVICE: [(&[&str], &str); 9] = [
    (
        &[
            "Could not resolve host",
            "unable to look up",
            "Name or service not known",
        ],
        "check the host's name in the URL, and the name server of the node",
    ),
    (
        &[
            "Connection refused",
            "Couldn't connect to server",
            "Could not connect to server",
            "Failed to connect to",
        ],
        "check host and port of the URL, and whether a firewall or a proxy is between the node and the host",
    ),
    (
        &[
            "timed out",
            "Operation too slow",
            "Connection reset",
            "Empty reply",
            "early EOF",
            "RPC failed",
            "the remote end hung up",
            "No route to host",
            "Network is unreachable",
        ],
        "try again; if it stays like this, check the network of the node, its firewall and its proxy",
    ),
    (
        &["Permission denied (", "Host key verification failed"],
        "git reaches this host by ssh with the keys and known hosts of the node only; hearth's logins are for https URLs",
    ),
    (
        &[
            "unexpected TLS packet",
            "wrong version number",
            "packet length too long",
        ],
        "the port does not speak TLS: check the port, or use an http URL",
    ),
    (
        &["certificate"],
        "the node has to trust the authority of the host's certificate",
    ),
    (
        &[
            "is this a git repository",
            "invalid server response",
            "unable to update url base from redirection",
            "protocol error",
            "not a git server",
        ],
        "what answers is not a git server: check the URL",
    ),
    (
        &[
            "not found",
            "not exported",
            "does not appear to be a git repository",
            "does not exist",
            "error: 404",
            "error: 410",
        ],
        "check the URL; a private repository needs a login that may read it, which `hearth doctor` tries",
    ),
    (
        &["returned error: 429", "returned error: 5"],
        "the git host has a problem of its own: try again later",
    ),
];

/// Reads why a clone or a fetch failed.
pub(crate) fn classify(failure: ProcessFailure) -> CloneFailure {
    let failure = told(failure);
    let says = |texts: &[&str]| texts.iter().any(|text| failure.tail.contains(text));
    if says(&REF_NOT_FOUND) {
        CloneFailure::RefNotFound(failure, Vec::new())
    } else if says(&LOGIN_REFUSED) {
        CloneFailure::LoginRefused(failure)
    } else {
        not_the_ref(failure)
    }
}

/// The same for commands in which a reference or a login is not what is missing.
pub(super) fn not_the_ref(failure: ProcessFailure) -> CloneFailure {
    let failure = told(failure);
    if DISK_FULL.iter().any(|text| failure.tail.contains(text)) {
        CloneFailure::DiskFull(failure)
    } else {
        CloneFailure::Failed(failure)
    }
}

/// What to do about a failure, if something is known.
pub fn advice(failure: &ProcessFailure) -> Option<&'static str> {
    ADVICE
        .iter()
        .find(|(texts, _)| texts.iter().any(|text| failure.message.contains(text)))
        .map(|(_, advice)| *advice)
}

/// The failure with what git said as its message.
pub(super) fn told(failure: ProcessFailure) -> ProcessFailure {
    ProcessFailure {
        message: message(&failure.tail).unwrap_or(failure.message),
        tail: failure.tail,
    }
}

/// The files that the node cannot have, as git names them, if a checkout failed for no other reason.
pub(crate) fn not_storable(failure: &ProcessFailure) -> Option<Vec<&str>> {
    let errors: Option<Vec<_>> = failure
        .tail
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .map(|error| {
            let file = error.strip_prefix("unable to create ")?;
            NOT_STORABLE
                .iter()
                .any(|why| file.ends_with(why))
                .then_some(file)
        })
        .collect();
    errors.filter(|files| !files.is_empty())
}

fn message(output: &str) -> Option<String> {
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let error = error_line(output)?;
    let at = lines.iter().position(|line| line.ends_with(error))?;
    let before = at.checked_sub(1).and_then(|before| lines.get(before));
    // The transport's own line says why.
    if error.starts_with("Could not read from remote repository")
        && let Some(why) = before.filter(|line| !line.is_empty() && !line.starts_with("Cloning"))
    {
        return Some((*why).to_owned());
    }
    let mut text = match error.strip_prefix("unable to access '") {
        // The URL is told anyway.
        Some(rest) => rest.split_once("': ").map_or(error, |(_, why)| why),
        None => error,
    }
    .to_owned();
    // `unable to connect to HOST:`, with one line for each address.
    let after = lines.get(at + 1).and_then(|line| line.split_once("errno="));
    match (text.strip_suffix(':'), after) {
        (Some(_), Some((_, why))) => text = format!("{text} {why}"),
        (Some(start), None) => text = start.to_owned(),
        (None, _) => {}
    }
    let server = before.and_then(|line| line.strip_prefix("remote: "));
    if let Some(server) = server.filter(|server| is_remark(server)) {
        text = format!("{text} ({:?}, says the server)", server.trim());
    }
    Some(text)
}

/// Whether a line of the server is for people, and not its progress.
fn is_remark(line: &str) -> bool {
    const PROGRESS: [&str; 5] = ["Enumerating", "Counting", "Compressing", "Total", "Finding"];
    !line.trim().is_empty() && !PROGRESS.iter().any(|word| line.starts_with(word))
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
