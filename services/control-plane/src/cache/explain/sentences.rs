use hearth_domain::text::printable_line;

/// How the agent's sentence begins that says why it did not use the image of a hit: it could not be fetched, or its entry
/// is not signed.
pub(super) const UNUSED: &str = "the image for this key ";

/// A text of the agent as a sentence on one line.
pub(super) fn sentence_of(text: &str) -> String {
    let line = printable_line(text);
    match line.ends_with(['.', '!', '?', ':']) {
        true => line,
        false => line + ".",
    }
}
