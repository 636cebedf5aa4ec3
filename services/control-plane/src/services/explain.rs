use hearth_api::v1::CacheEntry;
use hearth_domain::{Input, KeyManifest};

/// More than this nobody reads; the first ones say where to look.
const MAX_CHANGES: usize = 5;

/// All kinds of inputs, the telling ones first: a changed Dockerfile explains more than the file next to it.
const KINDS: [(Input, &str); 9] = [
    (Input::Config, "config property"),
    (Input::Dockerfile, "Dockerfile"),
    (Input::BaseImage, "base image"),
    (Input::Feature, "feature"),
    (Input::BuildArg, "build argument"),
    (Input::File, "file"),
    (Input::Platform, "platform"),
    (Input::Tool, "tool"),
    (Input::Remote, "remote input"),
];

/// Says in plain words why there is no image for a key.
pub(super) fn reasons(newest: Option<&CacheEntry>, wanted_manifest: &str) -> Vec<String> {
    let Some(newest) = newest else {
        return vec![
            "Nothing is in the cache yet for this repository, configuration and platform.".into(),
        ];
    };
    let built_from = match newest.commit.get(..12) {
        Some(commit) => format!("the newest image in the cache, built from {commit}"),
        None => "the newest image in the cache".to_owned(),
    };
    let (Some(before), Some(now)) = (parse(&newest.key_manifest), parse(wanted_manifest)) else {
        return vec![format!(
            "There is no image for exactly these inputs; they differ from {built_from}."
        )];
    };
    let mut changes = changes(&before, &now);
    let more = changes.len().saturating_sub(MAX_CHANGES);
    changes.truncate(MAX_CHANGES);
    let mut reasons = vec![format!("The inputs differ from {built_from}.")];
    reasons.extend(changes);
    if more > 0 {
        reasons.push(format!("And {more} more."));
    }
    reasons
}

fn parse(manifest: &str) -> Option<KeyManifest> {
    serde_json::from_str(manifest).ok()
}

fn changes(before: &KeyManifest, now: &KeyManifest) -> Vec<String> {
    let mut changes = Vec::new();
    for (kind, name_of_kind) in KINDS {
        let value_of = |manifest: &KeyManifest, wanted: &str| {
            let mut inputs = manifest.inputs(kind);
            inputs
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.to_owned())
        };
        for (name, value) in now.inputs(kind) {
            match value_of(before, name) {
                None => changes.push(format!("The {name_of_kind} {name} is new.")),
                Some(old) if old != value => {
                    changes.push(format!("The {name_of_kind} {name} changed."));
                }
                Some(_) => {}
            }
        }
        for (name, _) in before.inputs(kind) {
            if value_of(now, name).is_none() {
                changes.push(format!("The {name_of_kind} {name} is gone."));
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manifest: &KeyManifest) -> CacheEntry {
        CacheEntry {
            key_manifest: manifest.canonical_json(),
            commit: "0123456789abcdef".into(),
            ..CacheEntry::default()
        }
    }

    #[test]
    fn an_empty_cache_says_so() {
        assert!(reasons(None, "")[0].starts_with("Nothing is in the cache yet"));
    }

    #[test]
    fn what_changed_is_named_and_the_rest_is_not() {
        let mut before = KeyManifest::default();
        before.insert(Input::Dockerfile, "Dockerfile", "a");
        before.insert(Input::Feature, "node", "1");
        before.insert(Input::File, "old.txt", "1");
        let mut now = KeyManifest::default();
        now.insert(Input::Dockerfile, "Dockerfile", "b");
        now.insert(Input::Feature, "node", "1");
        now.insert(Input::File, "new.txt", "1");
        assert_eq!(
            reasons(Some(&entry(&before)), &now.canonical_json()),
            [
                "The inputs differ from the newest image in the cache, built from 0123456789ab.",
                "The Dockerfile Dockerfile changed.",
                "The file new.txt is new.",
                "The file old.txt is gone.",
            ]
        );
    }

    #[test]
    fn many_changes_are_counted() {
        let before = KeyManifest::default();
        let mut now = KeyManifest::default();
        for number in 0..9 {
            now.insert(Input::File, format!("f{number}"), "1");
        }
        let reasons = reasons(Some(&entry(&before)), &now.canonical_json());
        assert_eq!(reasons.len(), 1 + MAX_CHANGES + 1);
        assert_eq!(reasons.last().map(String::as_str), Some("And 4 more."));
    }

    #[test]
    fn without_a_manifest_it_is_only_said_that_something_differs() {
        let reasons = reasons(Some(&entry(&KeyManifest::default())), "");
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].starts_with("There is no image for exactly these inputs"));
    }
}
