/// Whether a text has the form of a whole commit hash: 40 hex digits (SHA-1) or 64 (SHA-256), in either case.
///
/// Git takes such a name for a commit even where a branch is called so.
pub fn is_commit_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hashes_count() {
        for length in [40, 64] {
            assert!(is_commit_hash(&"a1".repeat(length / 2)));
            assert!(is_commit_hash(&"A1".repeat(length / 2)));
            assert!(!is_commit_hash(&"g".repeat(length)));
            assert!(!is_commit_hash(&"a".repeat(length - 1)));
        }
        assert!(!is_commit_hash(""));
        assert!(!is_commit_hash("main"));
    }
}
