use hearth_domain::Ignore;

/// Each pattern becomes a regular expression, which takes about a millisecond without optimisation.
const MAX_PATTERNS: usize = 200;

/// Reads the input as an ignore file, and asks it about paths: those after a line with `---`, one a line.
///
/// What is below a folder that is left out, and of which nothing can be included again, is left out as well: a walk that
/// does not enter such folders misses nothing.
pub fn ignore_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (patterns, paths) = text.split_once("\n---\n").unwrap_or((&text, "a/b/c\n"));
    if patterns.lines().count() > MAX_PATTERNS {
        return;
    }
    let Ok(ignore) = Ignore::parse(patterns) else {
        return;
    };
    for path in paths.lines().filter(|path| is_path(path)).take(64) {
        let (mut folder, mut closed) = (None, false);
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let part = &path[..end];
            let (excluded, matches) = ignore.excludes(part, folder.as_ref());
            assert!(
                excluded || !closed,
                "{part:?} is not excluded, and its folder was left out for good"
            );
            closed = excluded && !ignore.may_include_again_below(part);
            folder = Some(matches);
        }
    }
}

/// Paths as a walk of a context names them.
fn is_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
