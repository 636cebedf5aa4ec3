//! Mounts the folder through which git gets logins into a container, and sets the variables that make git use it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{
    clone_files::CloneFiles,
    credentials::{GitRemote, MOUNT_POINT, git_settings},
    external::engine::LocalImage,
};

/// Number of the settings that git reads from its environment (`GIT_CONFIG_KEY_0`, `GIT_CONFIG_VALUE_0`, …), since git
/// 2.31. git's configuration files stay free for the workspace's own settings.
const COUNT: &str = "GIT_CONFIG_COUNT";
/// Most settings that git takes.
const MAX_COUNT: usize = i32::MAX as usize;
/// Most bytes that are read of a Compose file.
const MAX_COMPOSE_FILE: u64 = 1024 * 1024;

/// Adds both to the configuration of a single container.
pub fn into_container(
    properties: &mut Map<String, Value>,
    folder: &Path,
    remote: &GitRemote,
    image: &LocalImage,
) {
    let mount = format!(
        "type=bind,source={},target={MOUNT_POINT},readonly",
        folder.display()
    );
    add_mount(properties, mount);
    // Variables in the image's metadata override those of the configuration.
    let metadata = image.devcontainer_metadata.as_deref().unwrap_or_default();
    if !metadata.contains(COUNT) {
        add_settings(properties, remote, settings_of(image));
    }
}

/// Adds both to the configuration of a Compose project. The CLI passes the mount on as `source:target`, to which `:ro` is
/// added here.
pub fn into_service(
    properties: &mut Map<String, Value>,
    folder: &Path,
    remote: &GitRemote,
    has_settings: bool,
) {
    let mount = format!(
        "type=bind,source={},target={MOUNT_POINT}:ro",
        folder.display()
    );
    add_mount(properties, mount);
    if !has_settings {
        add_settings(properties, remote, 0);
    }
}

fn add_mount(properties: &mut Map<String, Value>, mount: String) {
    let mounts = properties.entry("mounts").or_insert_with(|| json!([]));
    // The CLI reports any other type as an error.
    if let Some(mounts) = mounts.as_array_mut() {
        mounts.push(Value::String(mount));
    }
}

/// Adds the settings after those that are there already: those of the configuration, or else the `there` ones of the image.
fn add_settings(properties: &mut Map<String, Value>, remote: &GitRemote, there: usize) {
    let environment = properties
        .entry("containerEnv")
        .or_insert_with(|| json!({}));
    let Some(environment) = environment.as_object_mut() else {
        return;
    };
    let own = match environment.get(COUNT) {
        None => Some(there),
        Some(count) => count.as_str().and_then(|count| count.parse().ok()),
    };
    let settings = git_settings(remote);
    // Git reports a malformed number, and one that is too large, as an error.
    let Some(first) = own.filter(|first| *first <= MAX_COUNT - settings.len()) else {
        return;
    };
    environment.insert(
        COUNT.to_owned(),
        json!((first + settings.len()).to_string()),
    );
    for (number, (key, value)) in (first..).zip(settings) {
        environment.insert(format!("GIT_CONFIG_KEY_{number}"), json!(key));
        environment.insert(format!("GIT_CONFIG_VALUE_{number}"), json!(value));
    }
}

/// Number of the settings of git in the image's environment.
fn settings_of(image: &LocalImage) -> usize {
    image
        .environment
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, count)| (name == COUNT).then(|| count.parse().ok())?)
        .unwrap_or_default()
}

/// Whether one of the Compose files mentions settings of git: it may set them in several ways, and none is overridden.
/// Waits for the disk.
pub fn compose_has_settings(clone: &CloneFiles, files: &[PathBuf]) -> bool {
    files.iter().any(|file| {
        let text = clone.text(file, MAX_COMPOSE_FILE);
        text.is_ok_and(|text| text.contains(COUNT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "/var/lib/hearth/workspaces/ws-1";

    fn properties(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn remote() -> GitRemote {
        GitRemote::of(&"https://git.example/a/b".parse().unwrap()).unwrap()
    }

    /// The settings of git in `containerEnv`, and nothing else of it.
    fn settings(made: &Map<String, Value>) -> Vec<(String, String)> {
        let environment = made.get("containerEnv").and_then(Value::as_object);
        let mut all: Vec<_> = environment
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.starts_with("GIT_CONFIG_"))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_folder_is_mounted_beside_the_repositorys_own_mounts() {
        let mut made =
            properties(r#"{ "mounts": ["source=a,target=/a"], "containerEnv": { "A": "b" } }"#);
        into_container(
            &mut made,
            Path::new(FOLDER),
            &remote(),
            &LocalImage::default(),
        );
        assert_eq!(
            Value::Object(made),
            json!({
                "mounts": [
                    "source=a,target=/a",
                    format!("type=bind,source={FOLDER},target=/opt/hearth,readonly"),
                ],
                "containerEnv": {
                    "A": "b",
                    "GIT_CONFIG_COUNT": "2",
                    "GIT_CONFIG_KEY_0": "credential.https://git.example.helper",
                    "GIT_CONFIG_VALUE_0": "/opt/hearth/git-credential-hearth",
                    "GIT_CONFIG_KEY_1": "credential.https://git.example.useHttpPath",
                    "GIT_CONFIG_VALUE_1": "true",
                },
            })
        );
    }

    #[test]
    fn settings_of_the_repositorys_or_the_images_own_stay_and_come_first() {
        let own = r#"{ "containerEnv": { "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c" } }"#;
        let mut made = properties(own);
        let plain = LocalImage::default();
        into_container(&mut made, Path::new(FOLDER), &remote(), &plain);
        let numbered = settings(&made);
        assert_eq!(numbered[0], ("GIT_CONFIG_COUNT".into(), "3".into()));
        assert_eq!(numbered[1], ("GIT_CONFIG_KEY_0".into(), "a.b".into()));
        assert!(numbered[2].1.ends_with(".helper"), "{numbered:?}");

        let image = LocalImage {
            environment: vec!["PATH=/bin".into(), "GIT_CONFIG_COUNT=4".into()],
            ..LocalImage::default()
        };
        let mut made = properties("{}");
        into_container(&mut made, Path::new(FOLDER), &remote(), &image);
        assert_eq!(settings(&made)[0].1, "6");
        assert_eq!(settings(&made)[1].0, "GIT_CONFIG_KEY_4");

        let remembered = LocalImage {
            devcontainer_metadata: Some(format!("[{own}]")),
            ..LocalImage::default()
        };
        let too_many = LocalImage {
            environment: vec![format!("GIT_CONFIG_COUNT={}", usize::MAX)],
            ..LocalImage::default()
        };
        for (config, image) in [
            ("{}", &remembered),
            (r#"{ "containerEnv": { "GIT_CONFIG_COUNT": "x" } }"#, &plain),
            ("{}", &too_many),
        ] {
            let mut made = properties(config);
            let before = settings(&made);
            into_container(&mut made, Path::new(FOLDER), &remote(), image);
            assert_eq!(settings(&made), before, "{config}");
        }
    }

    #[test]
    fn a_compose_service_gets_the_folder_and_keeps_settings_that_its_file_has() {
        for (compose, sets) in [
            ("services: {app: {}}", true),
            (
                "services: {app: {environment: [GIT_CONFIG_COUNT=1]}}",
                false,
            ),
        ] {
            let clone = tempfile::tempdir().unwrap();
            std::fs::write(clone.path().join("compose.yml"), compose).unwrap();
            let mut made = properties("{}");
            let clone = CloneFiles::open(clone.path()).unwrap();
            let files = ["compose.yml".into(), "missing.yml".into()];
            let has_settings = compose_has_settings(&clone, &files);
            into_service(&mut made, Path::new(FOLDER), &remote(), has_settings);
            assert_eq!(
                made["mounts"][0],
                format!("type=bind,source={FOLDER},target=/opt/hearth:ro")
            );
            assert_eq!(made.contains_key("containerEnv"), sets, "{compose}");
        }
    }
}
