//! What of a command's output says why it failed.

/// How programs begin the line that says it: git, Docker and BuildKit, and most others.
const MARKERS: [&str; 3] = ["fatal:", "error:", "error response from daemon:"];

/// The first of the lines that calls itself an error, without that word: what follows comes of it. `None` if there is no
/// such line.
pub(crate) fn error_line(output: &str) -> Option<&str> {
    output.lines().find_map(without_marker)
}

/// The line that says why a command failed that tells no error as such: the last one.
pub(in crate::external) fn last_line(output: &str) -> Option<&str> {
    output.lines().map(str::trim).rfind(|line| !line.is_empty())
}

fn without_marker(line: &str) -> Option<&str> {
    let line = line.trim();
    MARKERS.into_iter().find_map(|marker| {
        let start = line.get(..marker.len())?;
        let rest = line[marker.len()..].trim_start();
        (start.eq_ignore_ascii_case(marker) && !rest.is_empty()).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_calls_itself_an_error_is_the_cause() {
        for (output, expected) in [
            (
                "Cloning into 'a'...\nfatal: write error: No space left on device\nfatal: index-pack failed",
                Some("write error: No space left on device"),
            ),
            (
                "#5 1.2 cc: error\nERROR: failed to solve: process did not complete\n",
                Some("failed to solve: process did not complete"),
            ),
            ("Error response from daemon: conflict\n", Some("conflict")),
            ("error:\n  error: later", Some("later")),
            ("no errors: none", None),
            ("fätal: é", None),
            ("", None),
        ] {
            assert_eq!(error_line(output), expected, "{output:?}");
        }
        assert_eq!(last_line("one\ntwo\n \n"), Some("two"));
        assert_eq!(last_line("\n"), None);
    }
}
