//! Names of images, and which of them belong to caches.

use crate::cache_reference::BASE_TAG;

/// Repository and tag of `repository[:tag]`; the tag is empty if there is none. A registry may have a port.
pub fn repository_and_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}

/// Whether a tag is one that caches give.
pub fn is_cache_tag(tag: &str) -> bool {
    tag.starts_with(BASE_TAG)
}

/// Whether a name is that of an image in another cache than the one in the repository `own`, by the tags that caches give.
pub fn is_of_other_cache(name: &str, own: Option<&str>) -> bool {
    let (repository, tag) = repository_and_tag(name);
    is_cache_tag(tag) && own != Some(repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_other_caches_are_known_by_their_tags() {
        let own = Some("localhost:5000/a/b");
        for (name, other) in [
            ("localhost:5000/a/b:devcontainer-cache", false),
            ("localhost:5000/a/c:devcontainer-cache", true),
            (
                "localhost:5000/a/c:devcontainer-cache-k0123456789abcdef",
                true,
            ),
            ("localhost:5000/a/c", false),
            ("debian:12", false),
            ("debian", false),
        ] {
            assert_eq!(is_of_other_cache(name, own), other, "{name}");
        }
        assert!(is_of_other_cache(
            "localhost:5000/a/b:devcontainer-cache",
            None
        ));
    }

    #[test]
    fn the_port_of_a_registry_is_no_tag() {
        assert_eq!(repository_and_tag("r:5/a"), ("r:5/a", ""));
        assert_eq!(repository_and_tag("r:5/a:t"), ("r:5/a", "t"));
    }
}
