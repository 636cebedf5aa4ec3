//! The build is given what the key is computed from: a change of one property changes both or neither.

use std::{collections::BTreeMap, fs, sync::LazyLock};

use async_trait::async_trait;
use hearth_domain::{Digest, ImageFacts, KeyedManifest};
use proptest::prelude::*;
use serde_json::{Map, json};
use tokio::runtime::Runtime;

use super::*;
use crate::{
    devcontainer::Place,
    key::{KeySource, ResolveImage, read_key},
};

/// Properties and the values that they can have; `null` stands for none.
static PROPERTIES: LazyLock<Vec<(&str, Vec<Value>)>> = LazyLock::new(|| {
    let values = |values: Value| values.as_array().unwrap().clone();
    [
        (
            "image",
            json!([null, "a:1", "b:1", "", "${localEnv:IMAGE}"]),
        ),
        (
            "dockerFile",
            json!([null, null, "Dockerfile", "../Dockerfile", ""]),
        ),
        ("context", json!([null, "..", ".", ""])),
        (
            "build/dockerfile",
            json!([
                null,
                "Dockerfile",
                "./Dockerfile",
                "${localWorkspaceFolder}/Dockerfile"
            ]),
        ),
        ("build/context", json!([null, "..", ".", ""])),
        ("build/target", json!([null, "", "dev", "last"])),
        (
            "build/args/A",
            json!([
                null,
                "1",
                1,
                "${containerWorkspaceFolder}",
                "${localEnv:A:1}"
            ]),
        ),
        (
            "build/args/B",
            json!([
                null,
                "",
                "${containerWorkspaceFolderBasename}",
                "${localWorkspaceFolderBasename}"
            ]),
        ),
        ("build/args/UNDECLARED", json!([null, "1", "2"])),
        (
            "build/options",
            json!([
                null,
                [],
                ["--no-cache"],
                ["--build-arg", "A=2"],
                ["--progress=plain"],
                ["--secret", "id=x,src=${localWorkspaceFolder}/x"],
                ["--add-host=${containerWorkspaceFolder}:1"]
            ]),
        ),
        ("build/cacheFrom", json!([null, "x", ["x", "y"]])),
        (
            "features/.~tool",
            json!([null, {}, "1", {"at": "${containerWorkspaceFolder}"}]),
        ),
        ("features/ghcr.io~x~y:1", json!([null, {}, {"v": "1"}])),
        (
            "overrideFeatureInstallOrder",
            json!([null, ["./tool"], ["ghcr.io/x/y"]]),
        ),
        (
            "remoteUser",
            json!([null, "", "dev", "root", "${localEnv:USER}"]),
        ),
        (
            "containerUser",
            json!([null, "", "dev", "${localEnv:USER:dev}"]),
        ),
        (
            "workspaceFolder",
            json!([
                null,
                "",
                "/workspaces/app",
                "/workspaces/${localWorkspaceFolderBasename}/a",
                "/b"
            ]),
        ),
        (
            "workspaceMount",
            json!([
                null,
                "",
                "source=${localWorkspaceFolder},target=/b,type=bind"
            ]),
        ),
        (
            "containerEnv",
            json!([null, {"A": "1"}, {"A": "${containerWorkspaceFolder}"}]),
        ),
        ("remoteEnv", json!([null, {"A": "${containerEnv:PATH}"}])),
        ("initializeCommand", json!([null, "true", ["true"]])),
        ("postCreateCommand", json!([null, "make", {"a": "b"}])),
        (
            "customizations",
            json!([null, {"vscode": {"extensions": ["a"]}}]),
        ),
        ("runArgs", json!([null, ["--init"], ["-u", "dev"]])),
        ("mounts", json!([null, ["source=a,target=/a"]])),
        ("name", json!([null, "x", "${devcontainerId}"])),
    ]
    .map(|(name, list)| (name, values(list)))
    .to_vec()
});

/// A configuration with one value of each property.
fn configuration(choices: &[usize]) -> Map<String, Value> {
    let mut properties = Map::new();
    for ((path, values), choice) in PROPERTIES.iter().zip(choices) {
        let value = &values[choice % values.len()];
        if value.is_null() {
            continue;
        }
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut object = &mut properties;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            let entry = object.entry(folder).or_insert_with(|| json!({}));
            object = entry.as_object_mut().unwrap();
        }
        object.insert(name.replace('~', "/"), value.clone());
    }
    properties
}

struct World {
    dir: tempfile::TempDir,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let dockerfile =
        "FROM a:1 AS dev\nARG A\nARG B\nCOPY src /src\nRUN echo $A $B\nFROM dev AS last\n";
    for (path, text) in [
        ("Dockerfile", dockerfile),
        (".devcontainer/Dockerfile", dockerfile),
        ("src/a", "1"),
        (".devcontainer/src/a", "2"),
        ("x", "hush"),
        (".devcontainer/tool/devcontainer-feature.json", "{}"),
        (".devcontainer/tool/install.sh", "true"),
    ] {
        let path = dir.path().join("app").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    World { dir, runtime }
});

struct Registry;

#[async_trait]
impl ResolveImage for Registry {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        Ok(Digest::of(reference))
    }

    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Ok(Some(ImageFacts::default()))
    }

    async fn feature_dependencies(&self, _reference: &str) -> Result<Option<Vec<String>>, String> {
        Ok(Some(Vec::new()))
    }
}

/// What a build is given, and the key, if there is one.
fn built(properties: Map<String, Value>) -> (BTreeMap<PathBuf, Value>, Option<KeyedManifest>) {
    let clone = WORLD.dir.path().join("app");
    let place = Place {
        clone: &clone,
        default_image: "default:1",
    };
    let path = Path::new(".devcontainer/devcontainer.json");
    let config = DevcontainerConfig::new(place, path, properties).unwrap();
    let source = KeySource {
        clone: &clone,
        config: &config,
        platform: &"linux/amd64".parse().unwrap(),
        cli_version: "0.89.0",
    };
    let reading = WORLD.runtime.block_on(read_key(&source, &Registry));
    let below = tempfile::tempdir().unwrap();
    let made = make(
        &below.path().join("build"),
        &CloneFiles::open(&clone).unwrap(),
        &clone,
        &config,
    )
    .unwrap();
    let mut input = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&made.folder) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let text = fs::read_to_string(entry.path()).unwrap();
            let name = entry.path().strip_prefix(&made.folder).unwrap().to_owned();
            let value = if entry.path() == made.config {
                effective(serde_json::from_str(&text).unwrap())
            } else {
                json!(text)
            };
            input.insert(name, value);
        }
    }
    (input, reading.ok().map(|reading| reading.manifest))
}

/// What BuildKit makes steps of: not where it looks for them, how it shows them, or arguments that no instruction declares.
fn effective(mut config: Value) -> Value {
    if let Some(build) = config.get_mut("build").and_then(Value::as_object_mut) {
        build.shift_remove("cacheFrom");
        // It is built anyway.
        if build.get("target").is_some_and(|target| target == "last") {
            build.shift_remove("target");
        }
        let args = build.get_mut("args").and_then(Value::as_object_mut);
        if let Some(args) = args {
            args.shift_remove("UNDECLARED");
            if args.is_empty() {
                build.shift_remove("args");
            }
        }
        // Where the copy of a secret is.
        let options = build.get_mut("options").and_then(Value::as_array_mut);
        for option in options.into_iter().flatten() {
            let text = option.as_str().unwrap();
            *option = json!(text.split(",\"src=").next().unwrap());
        }
    }
    config
}

proptest! {
    // 2250 configurations.
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn a_property_changes_the_build_and_the_key_or_neither(
        choices in prop::collection::vec(0_usize..60, PROPERTIES.len()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..7), 8),
    ) {
        let before = configuration(&choices);
        let (input, key) = built(before.clone());
        for (property, by) in changes {
            let mut choices = choices.clone();
            choices[property.index(PROPERTIES.len())] += by;
            let after = configuration(&choices);
            let (other_input, other_key) = built(after.clone());
            if let (Some(key), Some(other_key)) = (&key, other_key) {
                let builds_differ = input != other_input;
                prop_assert_eq!(builds_differ, *key != other_key, "{:?}\n{:?}", before, after);
            }
        }
    }
}

/// The property would hold if nothing had a key.
#[test]
fn most_configurations_have_a_key() {
    let keyed = (0..60).filter(|number| {
        built(configuration(&vec![*number; PROPERTIES.len()]))
            .1
            .is_some()
    });
    assert!(keyed.count() > 30);
}
