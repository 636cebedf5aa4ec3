use std::fmt::Write as _;

use super::*;

/// What git 2.39 and 2.47 with curl 7.88 and 8.14 printed.
const OUTPUTS: [&str; 25] = [
    "Cloning into 'c'...\nfatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n",
    "Cloning into 'c'...\nfatal: unable to look up no.such.invalid (port 9418) (Name or service not known)",
    "Cloning into 'c'...\nfatal: remote error: access denied or repository not exported: /a",
    "Cloning into 'c'...\nfatal: unable to access 'http://127.0.0.1:1/a/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
    "fatal: unable to access 'http://no.such.invalid/a/': Could not resolve host: no.such.invalid",
    "remote: Repository not found.\nfatal: repository 'http://127.0.0.1:9480/x/' not found",
    "fatal: could not read Username for 'http://127.0.0.1:9480': terminal prompts disabled",
    "remote: Write access to repository not granted.\nfatal: unable to access 'http://127.0.0.1/x/': The requested URL returned error: 403",
    "fatal: unable to access 'http://127.0.0.1:9480/x/': The requested URL returned error: 500",
    "fatal: unable to update url base from redirection:\n  asked for: http://127.0.0.1:9480/302/x/info/refs?service=git-upload-pack\n   redirect: http://127.0.0.1:9480/html/x",
    "fatal: http://127.0.0.1:9480/x/info/refs not valid: is this a git repository?",
    "fatal: invalid server response; expected service, got flush packet",
    "fatal: unable to access 'http://127.0.0.1:9480/x/': Operation too slow. Less than 1000 bytes/sec transferred the last 60 seconds",
    "fatal: unable to access 'http://127.0.0.1:9480/x/': Empty reply from server",
    "fatal: unable to access 'https://127.0.0.1:9480/x/': gnutls_handshake() failed: An unexpected TLS packet was received.",
    "fatal: unable to access 'https://localhost:9481/x/': server certificate verification failed. CAfile: /etc/ssl/certs/ca-certificates.crt CRLfile: none",
    "ssh: connect to host 127.0.0.1 port 9: Connection refused\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.",
    "git@127.0.0.1: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.",
    "Host key verification failed.\nfatal: Could not read from remote repository.\n\nPlease make sure",
    "Receiving objects: 100% (17/17), done.\nfatal: write error: No space left on device\nfatal: index-pack failed\nfatal: could not fetch 45b983be36b73c0788dc9cbcb76cbb80fc7bb057 from promisor remote",
    "error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output",
    "fatal: Remote branch maim not found in upstream origin",
    "fatal: couldn't find remote ref refs/pull/13/head",
    "error: Server does not allow request for unadvertised object 0123456789012345678901234567890123456789",
    "error: invalid path '.git/x'",
];

#[test]
fn the_message_is_what_git_says_and_what_can_be_done_about_it() {
    let mut table = String::new();
    for output in OUTPUTS {
        let failure = classify(ProcessFailure {
            message: "git ended with exit status: 128".to_owned(),
            tail: output.to_owned(),
        });
        let (kind, failure) = match failure {
            CloneFailure::RefNotFound(failure, _) => ("ref", failure),
            CloneFailure::LoginRefused(failure) => ("login", failure),
            CloneFailure::DiskFull(failure) => ("disk", failure),
            CloneFailure::Failed(failure) => ("other", failure),
        };
        writeln!(table, "{kind}: {}", failure.message).unwrap();
        if let (Some(advice), "other") = (advice(&failure), kind) {
            writeln!(table, "    {advice}").unwrap();
        }
    }
    assert_eq!(table, include_str!("failure_messages.txt"));
}

#[test]
fn only_files_that_the_node_cannot_have_are_done_without() {
    let files = |tail: &str| {
        let failure = ProcessFailure {
            message: String::new(),
            tail: tail.to_owned(),
        };
        not_storable(&failure).map(|files| files.len())
    };
    let long = "error: unable to create file aaa: File name too long";
    assert_eq!(files(long), Some(1));
    assert_eq!(
        files(&format!("Your branch is up to date\n{long}\n{long}")),
        Some(2)
    );
    assert_eq!(
        files(&format!(
            "{long}\nerror: unable to create file b: No space left on device"
        )),
        None
    );
    assert_eq!(files("error: invalid path '.git/x'"), None);
    assert_eq!(files("fatal: could not fetch"), None);
}

#[test]
fn an_end_without_a_word_is_told_as_it_is() {
    let silent = told(ProcessFailure::new("git ended with signal: 9 (SIGKILL)"));
    assert_eq!(silent.message, "git ended with signal: 9 (SIGKILL)");
    assert_eq!(advice(&silent), None);
}
