use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path};

use async_trait::async_trait;
use hearth_domain::{Digest, ImageFacts, Input};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::devcontainer::{DevcontainerConfig, Place};

mod builds;
mod edges;
mod features;
mod pairs;

/// A registry where an image's digest is that of its name and of the version that the test gives it.
#[derive(Default)]
struct Registry {
    moved: BTreeMap<&'static str, &'static str>,
    depends_on: BTreeMap<&'static str, Vec<&'static str>>,
    onbuild: Vec<String>,
}

#[async_trait]
impl ResolveImage for Registry {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        if reference.contains("missing") {
            return Err("no such image".to_owned());
        }
        let version = self.moved.get(reference).unwrap_or(&"1");
        Ok(Digest::of(format!("{reference} {version}")))
    }

    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Ok(Some(ImageFacts {
            environment: BTreeMap::new(),
            onbuild: self.onbuild.clone(),
        }))
    }

    async fn feature_dependencies(&self, reference: &str) -> Result<Option<Vec<String>>, String> {
        let ids = self.depends_on.get(reference).into_iter().flatten();
        Ok(Some(ids.map(|id| (*id).to_owned()).collect()))
    }
}

type Files<'a> = &'a [(&'a str, &'a str)];

fn write(clone: &Path, files: Files<'_>) {
    for (path, text) in files {
        let path = clone.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn clone_of(files: Files<'_>) -> TempDir {
    let clone = tempfile::tempdir().unwrap();
    write(clone.path(), files);
    clone
}

fn read_with(
    clone: &Path,
    properties: &Value,
    registry: &Registry,
) -> Result<KeyReading, KeyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(read_async(clone, properties, registry))
}

async fn read_async(
    clone: &Path,
    properties: &Value,
    registry: &Registry,
) -> Result<KeyReading, KeyError> {
    let place = Place {
        clone,
        default_image: "default:1",
    };
    let path = Path::new(".devcontainer/devcontainer.json");
    let config =
        DevcontainerConfig::new(place, path, properties.as_object().unwrap().clone()).unwrap();
    let source = KeySource {
        clone,
        config: &config,
        platform: &"linux/amd64".parse().unwrap(),
        cli_version: "0.89.0",
    };
    read_key(&source, registry).await
}

fn read(clone: &Path, properties: &Value) -> KeyReading {
    read_with(clone, properties, &Registry::default()).unwrap()
}

const FILES: Files<'static> = &[
    (
        ".devcontainer/Dockerfile",
        "FROM a:1\nARG V\nCOPY src *.toml /x/\nRUN echo $V\n",
    ),
    (
        ".devcontainer/tool/devcontainer-feature.json",
        "{\"id\": \"tool\"}",
    ),
    (".devcontainer/tool/install.sh", "true"),
    (".dockerignore", "**/*.log\n"),
    ("src/main.rs", "fn main() {}"),
    ("src/deep/mod.rs", ""),
    ("Cargo.toml", "[package]"),
    ("README.md", "# x"),
];

fn properties() -> Value {
    json!({
        "name": "x",
        "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "${localEnv:V:1}", "UNUSED": "1"}},
        "features": {"./tool": {"version": "1"}, "ghcr.io/x/y:1": {}},
        "remoteUser": "dev",
        "containerEnv": {"A": "1"},
        "postCreateCommand": "true",
    })
}

/// Registries have entries with keys of this form. Another manifest for the same clone would need another key version.
#[test]
fn the_manifest_of_a_known_clone_never_changes() {
    let clone = clone_of(FILES);
    for (path, mode) in [
        ("src", 0o755),
        ("src/deep", 0o755),
        ("src/main.rs", 0o644),
        ("src/deep/mod.rs", 0o600),
        ("Cargo.toml", 0o755),
    ] {
        std::fs::set_permissions(
            clone.path().join(path),
            std::fs::Permissions::from_mode(mode),
        )
        .unwrap();
    }
    for (path, mode) in [
        ("", 0o755),
        ("install.sh", 0o755),
        ("devcontainer-feature.json", 0o644),
    ] {
        let path = clone.path().join(".devcontainer/tool").join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let reading = read(clone.path(), &properties());
    assert_eq!(
        reading.manifest.canonical_json(),
        include_str!("golden.json").trim_end()
    );
    assert_eq!(
        reading.manifest.key().as_str(),
        "k2:86b05e1789894c77ff32c96e0414026e535af0627868d4bdebad73861d3ebf31"
    );
    assert_eq!((reading.careful, reading.unpinned), (vec![], vec![]));
}

#[test]
fn where_when_and_in_which_order_a_tree_was_made_does_not_matter() {
    let (one, two) = (clone_of(FILES), tempfile::tempdir().unwrap());
    for file in FILES.iter().rev() {
        write(two.path(), &[*file]);
        let file = std::fs::File::options()
            .append(true)
            .open(two.path().join(file.0))
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    assert_eq!(
        read(one.path(), &properties()),
        read(two.path(), &properties())
    );
}

#[test]
fn every_single_input_counts() {
    let clone = clone_of(FILES);
    let before = read(clone.path(), &properties()).manifest;
    let files: Files<'_> = &[
        (
            ".devcontainer/Dockerfile",
            "FROM a:1\nARG V\nCOPY src *.toml /x/\nRUN echo $V $V\n",
        ),
        (".devcontainer/tool/install.sh", "false"),
        (".devcontainer/tool/other", ""),
        (".dockerignore", "**/*.rs\n"),
        ("src/main.rs", "fn main() { }"),
        ("src/deep/new.rs", ""),
        ("rustfmt.toml", ""),
    ];
    for change in files {
        let clone = clone_of(FILES);
        write(clone.path(), &[*change]);
        assert_ne!(
            read(clone.path(), &properties()).manifest.key(),
            before.key(),
            "{}",
            change.0
        );
    }
    let values = [
        ("/build/args/V", json!("2")),
        (
            "/build/dockerfile",
            json!("../.devcontainer/./Dockerfile.other"),
        ),
        ("/build/options", json!(["--add-host=x:1"])),
        ("/features/.~1tool/version", json!("2")),
        ("/features/ghcr.io~1x~1y:1", json!("2")),
        ("/remoteUser", json!("root")),
        ("/containerUser", json!("root")),
        ("/overrideFeatureInstallOrder", json!(["ghcr.io/x/y"])),
    ];
    write(
        clone.path(),
        &[(".devcontainer/Dockerfile.other", FILES[0].1)],
    );
    for (pointer, value) in values {
        let mut properties = properties();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        properties.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = value;
        assert_ne!(
            read(clone.path(), &properties).manifest.key(),
            before.key(),
            "{pointer}"
        );
    }
    for image in ["a:1", "ghcr.io/x/y:1"] {
        let registry = Registry {
            moved: BTreeMap::from([(image, "2")]),
            ..Registry::default()
        };
        let after = read_with(clone.path(), &properties(), &registry)
            .unwrap()
            .manifest;
        assert_ne!(after.key(), before.key(), "{image}");
    }
}

#[test]
fn what_cannot_reach_the_image_does_not_count() {
    let clone = clone_of(FILES);
    let before = read(clone.path(), &properties());
    write(
        clone.path(),
        &[
            ("README.md", "# y"),
            ("src/x.log", ""),
            ("docs/new", ""),
            (".devcontainer/other/x", ""),
        ],
    );
    write(
        clone.path(),
        &[(
            ".devcontainer/Dockerfile",
            "# new\nfrom a:1\nARG V\n\nCOPY src *.toml /x/\nRUN echo $V\n",
        )],
    );
    let mut properties = properties();
    for name in [
        "name",
        "containerEnv",
        "initializeCommand",
        "postCreateCommand",
        "customizations",
        "mounts",
        "runArgs",
        "forwardPorts",
    ] {
        properties[name] = json!("changed");
    }
    properties["build"]["args"]["UNUSED"] = json!("2");
    properties["build"]["cacheFrom"] = json!("x");
    assert_eq!(read(clone.path(), &properties), before);
}

#[test]
fn without_features_users_do_not_count() {
    let clone = clone_of(&[]);
    let one = read(
        clone.path(),
        &json!({"image": "a:1", "remoteUser": "a", "containerUser": "c"}),
    );
    let two = read(clone.path(), &json!({"image": "a:1", "remoteUser": "b"}));
    assert_eq!(one, two);
    assert_eq!(
        one.manifest.canonical_json(),
        format!(
            r#"{{"version":"k2","inputs":{{"base-image":{{"a:1":"{}"}},"platform":{{"platform":"linux/amd64"}},"tool":{{"devcontainer":"0.89"}}}}}}"#,
            Digest::of("a:1 1")
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A file counts exactly when it is copied and not ignored, whatever its name.
    #[test]
    fn a_file_counts_when_it_is_seen(name in "[a-c]{1,2}(/[a-c]{1,2}){0,2}(\\.log)?", text in "[a-z]{1,3}") {
        let files = [(".devcontainer/Dockerfile", "FROM scratch\nCOPY a* b/c /x/\n"), (".dockerignore", "**/*.log\nab\n!ab/c\n")];
        let clone = clone_of(&files);
        let properties = json!({"build": {"dockerfile": "Dockerfile", "context": ".."}});
        let before = read(clone.path(), &properties).manifest;
        write(clone.path(), &[(&name, &text)]);
        let after = read(clone.path(), &properties).manifest;
        let copied = name.starts_with('a') || name == "b/c" || name.starts_with("b/c/");
        let within = |folder: &str| name == folder || name.starts_with(&format!("{folder}/"));
        // The last pattern that matches wins, also for what is in a folder that it matches.
        let kept = within("ab/c") || !within("ab") && !name.ends_with(".log");
        // An ignored file still leaves the folders that it is in, if those are copied and kept.
        let file = after.inputs().inputs(Input::File).any(|(entry, value)| entry == name && value.starts_with("file "));
        prop_assert_eq!(file, copied && kept);
        prop_assert!(!(file && before == after));
    }
}
