use std::collections::BTreeSet;

use hearth_domain::is_cache_tag;

use crate::external::engine::StoredImage;

/// Repository of the names that mark images as hearth's. It names no registry, so that it is not pushed by mistake.
pub const MARK: &str = "hearth-cache";

/// Tag of the name that marks the image with this id. An image does not get such a name by chance.
pub fn mark_tag(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, hex)| hex)
}

/// An image that may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removable {
    /// The engine's id of it.
    pub id: String,
    /// Its names, in the order in which they are to be removed. The mark is last, so that an interrupted removal is
    /// resumed.
    pub names: Vec<String>,
    /// Its size in bytes, layers that it shares with others included.
    pub bytes: u64,
}

/// The images that may be removed, least recently used first: those that hearth marked, except images of containers,
/// images that an attempt needs, and images that also have a name that hearth did not give them.
pub fn removable(
    images: Vec<StoredImage>,
    of_containers: &BTreeSet<String>,
    is_needed: impl Fn(&str) -> bool,
    last_use: impl Fn(&str) -> u64,
) -> Vec<Removable> {
    let mut removable: Vec<_> = images
        .into_iter()
        .filter(|image| !of_containers.contains(&image.id))
        .filter_map(own)
        .filter(|image| !image.names.iter().any(|name| is_needed(name)))
        .collect();
    removable.sort_by_cached_key(|image| (last_use(&image.id), image.id.clone()));
    removable
}

/// The image, if it is marked and has only names that hearth gave it.
fn own(image: StoredImage) -> Option<Removable> {
    let mark = format!("{MARK}:{}", mark_tag(&image.id));
    let is_marked = image.tags.contains(&mark);
    let mut names: Vec<_> = image.tags.into_iter().filter(|tag| *tag != mark).collect();
    if !is_marked || !names.iter().all(|name| is_own_name(name)) {
        return None;
    }
    // The containerd store lists a digest for every tag, also for the mark.
    let of_mark = format!("{MARK}@");
    names.extend(
        image
            .digests
            .into_iter()
            .filter(|name| !name.starts_with(&of_mark)),
    );
    names.push(mark);
    Some(Removable {
        id: image.id,
        names,
        bytes: image.bytes,
    })
}

/// Whether it is a name that hearth gives: by the image's key, as the newest image, or by the workspace where there is no
/// key.
fn is_own_name(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let (repository, tag) = last.split_once(':').unwrap_or((last, ""));
    is_cache_tag(tag) || (last == name && repository.starts_with("hearth-"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(id: &str, tags: &[&str], digests: &[&str]) -> StoredImage {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        StoredImage {
            id: format!("sha256:{id}"),
            tags: owned(tags),
            digests: owned(digests),
            bytes: 1,
        }
    }

    fn names_of(image: StoredImage) -> Option<Vec<String>> {
        own(image).map(|image| image.names)
    }

    #[test]
    fn an_image_is_hearths_own_if_it_has_the_mark_and_no_other_name() {
        let mark = "hearth-cache:aa";
        let fetched = stored("aa", &[mark], &["r/o@sha256:aa", "hearth-cache@sha256:aa"]);
        assert_eq!(names_of(fetched).unwrap(), ["r/o@sha256:aa", mark]);
        let built = [
            "r:5000/o/n:devcontainer-cache-k0123456789abcdef",
            "r:5000/o/n:devcontainer-cache",
            mark,
        ];
        assert_eq!(names_of(stored("aa", &built, &[])).unwrap(), built);
        assert!(names_of(stored("aa", &["hearth-ws-1:3", mark], &[])).is_some());

        // Pulled by another tool, marked as another image, or named by a person as well.
        assert_eq!(names_of(stored("aa", &[built[1]], &[])), None);
        assert_eq!(names_of(stored("aa", &["hearth-cache:bb"], &[])), None);
        for theirs in ["mine:1", "r:5000/o/n:latest", "r/hearth-x:1"] {
            assert_eq!(names_of(stored("aa", &[mark, theirs], &[])), None);
        }
    }

    #[derive(Clone, Debug)]
    struct Case {
        own: bool,
        container: bool,
        needed: bool,
        last_use: u64,
    }

    fn cases() -> impl Strategy<Value = Vec<Case>> {
        let case = (any::<bool>(), any::<bool>(), any::<bool>(), 0..5_u64).prop_map(
            |(own, container, needed, last_use)| Case {
                own,
                container,
                needed,
                last_use,
            },
        );
        prop::collection::vec(case, 0..30)
    }

    proptest! {
        #[test]
        fn images_that_are_not_needed_may_be_removed_least_recently_used_first(cases in cases()) {
            let case = |id: &str| &cases[mark_tag(id).parse::<usize>().unwrap()];
            let images: Vec<_> = (0..cases.len())
                .map(|number| {
                    let (id, mark) = (number.to_string(), format!("{MARK}:{number}"));
                    let digest = format!("r@{number}");
                    let own = [mark.as_str()];
                    let tags = if cases[number].own { own.as_slice() } else { &[] };
                    stored(&id, tags, &[&digest])
                })
                .collect();
            let of_containers = images
                .iter()
                .map(|image| image.id.clone())
                .filter(|id| case(id).container)
                .collect();
            let is_needed = |name: &str| {
                name.strip_prefix("r@").is_some_and(|number| case(number).needed)
            };
            let chosen = removable(images, &of_containers, is_needed, |id| case(id).last_use);
            let uses: Vec<_> = chosen.iter().map(|image| case(&image.id).last_use).collect();
            prop_assert!(uses.is_sorted());
            let free = |case: &&Case| case.own && !case.container && !case.needed;
            prop_assert_eq!(chosen.len(), cases.iter().filter(free).count());
            prop_assert!(chosen.iter().all(|image| free(&case(&image.id))));
        }
    }
}
