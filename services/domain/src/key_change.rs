//! What differs between the inputs of two images.

use crate::{Input, KeyManifest};

/// One input that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Its kind.
    pub kind: Input,
    /// Its name.
    pub name: String,
    /// Its value before; `None` for one that is new.
    pub before: Option<String>,
    /// Its value after; `None` for one that is gone.
    pub after: Option<String>,
    /// It may differ only since another input does: a build argument makes other steps of the same Dockerfile, and other
    /// steps see other files.
    pub follows: bool,
}

/// Kinds of inputs, the telling ones first: a changed Dockerfile explains more than the file next to it.
const ORDER: [Input; 9] = [
    Input::Config,
    Input::BuildArg,
    Input::Dockerfile,
    Input::BaseImage,
    Input::Feature,
    Input::File,
    Input::Platform,
    Input::Tool,
    Input::Remote,
];

/// What differs between two manifests: what may have caused the rest comes first.
pub fn changes(before: &KeyManifest, after: &KeyManifest) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    for kind in ORDER {
        let old: std::collections::BTreeMap<_, _> = before.inputs(kind).collect();
        let new: std::collections::BTreeMap<_, _> = after.inputs(kind).collect();
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        for name in new.keys().chain(gone) {
            let (before, after) = (old.get(name), new.get(name));
            if before != after {
                changes.push(KeyChange {
                    kind,
                    name: (*name).to_owned(),
                    before: before.map(|value| (*value).to_owned()),
                    after: after.map(|value| (*value).to_owned()),
                    follows: false,
                });
            }
        }
    }
    let causes = changes.clone();
    for change in &mut changes {
        change.follows = causes
            .iter()
            .any(|cause| is_within(cause, change) || may_follow(cause, change));
    }
    changes.sort_by_key(|change| change.follows);
    changes
}

/// Whether a folder comes or goes with what is in it: git has no empty ones.
fn is_within(cause: &KeyChange, change: &KeyChange) -> bool {
    let is_folder = |value: &Option<String>| {
        let value = value.as_ref();
        value.is_none_or(|value| value.starts_with("folder "))
    };
    let beneath = cause.name.strip_prefix(&change.name);
    [cause.kind, change.kind] == [Input::File; 2]
        && beneath.is_some_and(|beneath| beneath.starts_with('/'))
        && (is_folder(&change.before) && is_folder(&change.after))
        && (cause.before.is_none() && change.before.is_none()
            || cause.after.is_none() && change.after.is_none())
}

/// Whether one input may be why another one differs: only those that come before it in the order can.
fn may_follow(cause: &KeyChange, change: &KeyChange) -> bool {
    if cause.kind == change.kind {
        return false;
    }
    let comes_or_goes = |change: &KeyChange| change.before.is_none() || change.after.is_none();
    let is_given = !comes_or_goes(cause);
    let comes_or_goes = comes_or_goes(change);
    let is_taken =
        comes_or_goes && matches!(change.kind, Input::BaseImage | Input::File | Input::Remote);
    match cause.kind {
        Input::Config if cause.name.starts_with("build.") => {
            is_taken
                || change.kind == Input::Dockerfile
                || change.kind == Input::BuildArg && comes_or_goes
        }
        Input::Config if cause.name.starts_with("features.") => {
            comes_or_goes && matches!(change.kind, Input::Feature | Input::File)
        }
        // One that comes or goes may itself be the Dockerfile's doing, which uses it now, or not any more.
        Input::BuildArg => is_taken || is_given && change.kind == Input::Dockerfile,
        Input::Dockerfile => is_taken,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl FnOnce(&mut KeyManifest)) -> Vec<(String, bool)> {
        let mut before = KeyManifest::default();
        before.insert(Input::Dockerfile, "Dockerfile", "1");
        before.insert(Input::File, "a", "1");
        before.insert(Input::BuildArg, "V", "1");
        let mut after = before.clone();
        change(&mut after);
        let changes = changes(&before, &after).into_iter();
        changes
            .map(|change| (change.name, change.follows))
            .collect()
    }

    #[test]
    fn what_may_have_caused_the_rest_comes_first() {
        let one = |name: &str, follows| (name.to_owned(), follows);
        let file = |manifest: &mut KeyManifest| manifest.insert(Input::File, "a", "2");
        assert_eq!(told(file), [one("a", false)]);
        let other = |manifest: &mut KeyManifest| {
            manifest.insert(Input::Dockerfile, "Dockerfile", "2");
            manifest.insert(Input::File, "a", "2");
            manifest.insert(Input::File, "b", "1");
        };
        let expected = [one("Dockerfile", false), one("a", false), one("b", true)];
        assert_eq!(told(other), expected);
        let argument = |manifest: &mut KeyManifest| {
            manifest.insert(Input::BuildArg, "V", "2");
            manifest.insert(Input::Dockerfile, "Dockerfile", "2");
        };
        assert_eq!(told(argument), [one("V", false), one("Dockerfile", true)]);
    }

    #[test]
    fn a_folder_comes_and_goes_with_its_files() {
        let one = |name: &str, follows| (name.to_owned(), follows);
        let more = |manifest: &mut KeyManifest| {
            manifest.insert(Input::File, "etc", "folder 755");
            manifest.insert(Input::File, "etc/d", "folder 755");
            manifest.insert(Input::File, "etc/d/x", "file 644 1");
            manifest.insert(Input::File, "etcetera", "file 644 1");
        };
        let expected = [
            one("etc/d/x", false),
            one("etcetera", false),
            one("etc", true),
            one("etc/d", true),
        ];
        assert_eq!(told(more), expected);
    }

    #[test]
    fn an_argument_that_is_given_now_may_choose_another_base_image() {
        let given = |manifest: &mut KeyManifest| {
            manifest.insert(Input::BuildArg, "B", "2");
            manifest.insert(Input::BaseImage, "other", "1");
        };
        let expected = [("B".to_owned(), false), ("other".to_owned(), true)];
        assert_eq!(told(given), expected);
    }

    #[test]
    fn an_argument_that_is_given_now_and_a_dockerfile_may_both_be_the_cause() {
        let given = |manifest: &mut KeyManifest| {
            manifest.insert(Input::BuildArg, "W", "2");
            manifest.insert(Input::Dockerfile, "Dockerfile", "2");
        };
        let expected = [("W".to_owned(), false), ("Dockerfile".to_owned(), false)];
        assert_eq!(told(given), expected);
    }
}
