use hearth_agent::fuzzing::{self, without_passwords as cleaned};

/// Most bytes that a failure tells of a command's output.
const MAX_TAIL: usize = 8 * 1024;
/// Most bytes of one line of it; a mark says that it goes on.
const MAX_TOLD_LINE: usize = MAX_TAIL / 8;
/// Longest line that is not split, in bytes.
const MAX_LINE: usize = 2 * 1024 * 1024;

/// Reads the input as the log of the devcontainer CLI.
///
/// What people get are single lines, and a failure tells the last of them.
pub fn cli_log(data: &[u8]) {
    let log = String::from_utf8_lossy(data);
    let (lines, tail) = fuzzing::cli_log(&log);
    assert!(
        lines
            .iter()
            .all(|line| !line.contains('\n') && line.len() <= MAX_LINE)
    );
    assert!(tail.len() <= MAX_TAIL);
    let told: Vec<&str> = tail.lines().rev().collect();
    for (told, line) in told.iter().zip(lines.iter().rev()) {
        let is_whole = line.starts_with(told);
        let is_cut = told.strip_suffix('…').is_some_and(|kept| {
            line.len() > kept.len() && kept.len() <= MAX_TOLD_LINE && line.starts_with(kept)
        });
        assert!(is_whole || is_cut, "{told:?} is not from {line:?}");
    }
}

/// Reads the input as the output of a command that writes lines again and again.
///
/// The lines are the same in whatever pieces they come.
pub fn lines(data: &[u8]) {
    let whole = fuzzing::lines([data].into_iter());
    assert!(whole.iter().all(|line| !line.contains(['\n', '\r'])));
    for size in [1, 2, 7, 4096] {
        assert_eq!(fuzzing::lines(data.chunks(size)), whole, "pieces of {size}");
    }
}

/// Reads the input as what a git that failed has printed.
///
/// What is told of it is one line of what git said.
pub fn git_failure(data: &[u8]) {
    let output = String::from_utf8_lossy(data);
    let (message, files) = fuzzing::git_failure(&output);
    assert!(
        !message.is_empty() && !message.contains('\n'),
        "{message:?}"
    );
    assert!(files.iter().all(|file| output.contains(file)));
}

/// Reads the input as what git prints of submodules: of `.gitmodules`, and behind an empty line of the index.
///
/// No password of a URL is told.
pub fn submodules(data: &[u8]) {
    // A line of a seed is an entry, which git ends with a zero.
    let text = String::from_utf8_lossy(data);
    let (config, index) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (paths, listed) = fuzzing::submodules(config, &index.replace('\n', "\0"));
    assert!(
        paths
            .iter()
            .all(|path| !path.is_empty() && !path.contains('\0'))
    );
    assert!(
        listed
            .iter()
            .all(|(path, commit)| !path.contains('\0') && !commit.contains(' '))
    );

    let clean = cleaned(&text);
    for (at, _) in clean.match_indices("://") {
        let end = |c: char| c == '/' || c.is_whitespace();
        let host = clean[at + 3..].split(end).next().unwrap_or_default();
        assert!(!host.contains('@'), "{host:?} in {clean:?}");
    }
    assert_eq!(cleaned(&clean), clean);
}
