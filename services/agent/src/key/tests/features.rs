//! Keys of features.

use super::*;

#[test]
fn features_are_followed_to_those_that_they_depend_on() {
    let clone = clone_of(&[
        (
            ".devcontainer/one/devcontainer-feature.json",
            "{// x\n\"dependsOn\": {\"./two\": {}, \"ghcr.io/a/b\": {}}}",
        ),
        (
            ".devcontainer/two/devcontainer-feature.json",
            "{\"dependsOn\": {\"./one\": {}}}",
        ),
    ]);
    let registry = Registry {
        depends_on: BTreeMap::from([("ghcr.io/a/b:latest", vec!["ghcr.io/a/c:1"])]),
        ..Registry::default()
    };
    let reading = read_with(
        clone.path(),
        &json!({"image": "a:1", "features": {"./one": {}}}),
        &registry,
    )
    .unwrap();
    let names: Vec<_> = reading
        .manifest
        .inputs()
        .inputs(Input::Feature)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["ghcr.io/a/b:latest", "ghcr.io/a/c:1"]);
    let files: Vec<_> = reading
        .manifest
        .inputs()
        .inputs(Input::File)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        files,
        [
            ".devcontainer/one",
            ".devcontainer/one/devcontainer-feature.json",
            ".devcontainer/two",
            ".devcontainer/two/devcontainer-feature.json",
        ]
    );
}

#[test]
fn a_lockfile_comes_before_the_registry() {
    let clone = clone_of(&[(
        ".devcontainer/devcontainer-lock.json",
        "\u{feff}{\"features\": {\"ghcr.io/a/missing:1\": {\"version\": \"1\", \"resolved\": \"x\", \"integrity\": \"sha256:1\", \"dependsOn\": [\"https://x/f.tgz\"]}}}",
    )]);
    let properties = json!({"image": "a:1", "features": {"ghcr.io/a/missing:1": {}}});
    let reading = read(clone.path(), &properties);
    assert_eq!(
        reading
            .manifest
            .inputs()
            .inputs(Input::Feature)
            .collect::<Vec<_>>(),
        [("ghcr.io/a/missing:1", "sha256:1")]
    );
    assert_eq!(
        reading
            .manifest
            .inputs()
            .inputs(Input::Remote)
            .collect::<Vec<_>>(),
        [("https://x/f.tgz", "unpinned")]
    );
    assert_eq!(reading.unpinned, ["https://x/f.tgz"]);
}

#[test]
fn an_option_of_a_feature_that_is_its_default_does_not_count() {
    let metadata =
        r#"{"options": {"at": {"type": "string", "default": "a"}, "on": {"default": true}}}"#;
    let clone = clone_of(&[(".devcontainer/f/devcontainer-feature.json", metadata)]);
    let with = |options: Value| {
        read(
            clone.path(),
            &json!({"image": "a:1", "features": {"./f": options}}),
        )
    };
    let none = with(json!({}));
    for same in [json!({"at": "a"}), json!({"on": true, "at": "a"})] {
        assert_eq!(with(same), none);
    }
    for other in [
        json!({"at": "b"}),
        json!({"on": "true"}),
        json!({"new": "a"}),
        json!("a"),
    ] {
        assert_ne!(with(other.clone()).manifest, none.manifest, "{other}");
    }
}

#[test]
fn a_feature_s_files_count_by_the_names_that_the_configuration_knows() {
    let plain = clone_of(FILES);
    let linked = clone_of(FILES);
    std::fs::rename(
        linked.path().join(".devcontainer"),
        linked.path().join("tools"),
    )
    .unwrap();
    std::os::unix::fs::symlink("tools", linked.path().join(".devcontainer")).unwrap();
    let properties = json!({"image": "a:1", "features": {"./tool": {}}});
    let reading = read(plain.path(), &properties);
    assert_eq!(reading, read(linked.path(), &properties));
    let mut files = reading.manifest.inputs().inputs(Input::File);
    assert!(files.any(|(name, _)| name == ".devcontainer/tool/install.sh"));
}
