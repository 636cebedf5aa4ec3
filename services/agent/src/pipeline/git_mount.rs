//! Puts the folder through which git logs in into the configuration of a container.

use std::{io::Read as _, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    config::DevcontainerConfig,
    credentials::{MOUNT_POINT, git_config_path},
    parties::LocalImage,
};

/// Names git's system configuration, for git 2.32 and newer.
const VARIABLE: &str = "GIT_CONFIG_SYSTEM";
/// No Compose file is larger; the rest of one that is remains unread.
const MAX_COMPOSE_FILE: u64 = 1024 * 1024;

/// For a container of its own.
pub fn into_container(properties: &mut Map<String, Value>, folder: &Path, image: &LocalImage) {
    let mount = format!(
        "type=bind,source={},target={MOUNT_POINT},readonly",
        folder.display()
    );
    add_mount(properties, mount);
    if !names_its_own(image) {
        add_variable(properties);
    }
}

/// For the service of a Compose project. The CLI passes a mount on as `source:target`, hence the way to say that it is
/// read-only.
pub fn into_service(
    properties: &mut Map<String, Value>,
    folder: &Path,
    clone: &Path,
    config: &DevcontainerConfig,
) {
    let mount = format!(
        "type=bind,source={},target={MOUNT_POINT}:ro",
        folder.display()
    );
    add_mount(properties, mount);
    if !compose_names_its_own(clone, config) {
        add_variable(properties);
    }
}

fn add_mount(properties: &mut Map<String, Value>, mount: String) {
    let mounts = properties.entry("mounts").or_insert_with(|| json!([]));
    // Anything else is a mistake that the CLI tells of.
    if let Some(mounts) = mounts.as_array_mut() {
        mounts.push(Value::String(mount));
    }
}

fn add_variable(properties: &mut Map<String, Value>) {
    let environment = properties
        .entry("containerEnv")
        .or_insert_with(|| json!({}));
    if let Some(environment) = environment.as_object_mut() {
        environment
            .entry(VARIABLE)
            .or_insert_with(|| Value::String(git_config_path()));
    }
}

/// Whether the image, or a feature or configuration that its metadata remembers, names a configuration already.
fn names_its_own(image: &LocalImage) -> bool {
    let in_environment = image.environment.iter().any(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, _)| name == VARIABLE)
    });
    let metadata = image.devcontainer_metadata.as_deref().unwrap_or_default();
    in_environment || metadata.contains(VARIABLE)
}

/// Compose files have their own ways to set variables: one that names it anywhere is left alone.
fn compose_names_its_own(clone: &Path, config: &DevcontainerConfig) -> bool {
    let folder = clone.join(config.path.parent().unwrap_or(Path::new("")));
    let files: Vec<&str> = match config.properties.get("dockerComposeFile") {
        Some(Value::String(file)) => vec![file],
        Some(Value::Array(files)) => files.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    files.into_iter().any(|file| {
        let mut text = Vec::new();
        let read = std::fs::File::open(folder.join(file))
            .and_then(|file| file.take(MAX_COMPOSE_FILE).read_to_end(&mut text));
        read.is_ok() && String::from_utf8_lossy(&text).contains(VARIABLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "/var/lib/hearth/workspaces/ws-1";

    fn properties(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_folder_is_mounted_beside_the_repositorys_own_mounts() {
        let mut made =
            properties(r#"{ "mounts": ["source=a,target=/a"], "containerEnv": { "A": "b" } }"#);
        into_container(&mut made, Path::new(FOLDER), &LocalImage::default());
        assert_eq!(
            Value::Object(made),
            json!({
                "mounts": [
                    "source=a,target=/a",
                    format!("type=bind,source={FOLDER},target=/opt/hearth,readonly"),
                ],
                "containerEnv": { "A": "b", "GIT_CONFIG_SYSTEM": "/opt/hearth/gitconfig" },
            })
        );
    }

    #[test]
    fn a_system_configuration_of_the_repositorys_or_the_images_own_stays() {
        let own = r#"{ "containerEnv": { "GIT_CONFIG_SYSTEM": "/own" } }"#;
        let mut made = properties(own);
        into_container(&mut made, Path::new(FOLDER), &LocalImage::default());
        assert_eq!(made["containerEnv"]["GIT_CONFIG_SYSTEM"], "/own");
        for image in [
            LocalImage {
                environment: vec!["PATH=/bin".into(), "GIT_CONFIG_SYSTEM=/own".into()],
                ..LocalImage::default()
            },
            LocalImage {
                devcontainer_metadata: Some(format!("[{own}]")),
                ..LocalImage::default()
            },
        ] {
            let mut made = properties("{}");
            into_container(&mut made, Path::new(FOLDER), &image);
            assert!(!made.contains_key("containerEnv"), "{made:?}");
        }
    }

    #[test]
    fn a_compose_service_gets_the_folder_and_keeps_a_variable_that_its_file_sets() {
        for (compose, sets) in [
            ("services: {app: {}}", true),
            (
                "services: {app: {environment: [GIT_CONFIG_SYSTEM=/own]}}",
                false,
            ),
        ] {
            let clone = tempfile::tempdir().unwrap();
            std::fs::write(clone.path().join("compose.yml"), compose).unwrap();
            let config = DevcontainerConfig {
                path: ".devcontainer.json".into(),
                properties: properties(
                    r#"{ "dockerComposeFile": ["compose.yml", "missing.yml"] }"#,
                ),
            };
            let mut made = config.properties.clone();
            into_service(&mut made, Path::new(FOLDER), clone.path(), &config);
            assert_eq!(
                made["mounts"][0],
                format!("type=bind,source={FOLDER},target=/opt/hearth:ro")
            );
            assert_eq!(made.contains_key("containerEnv"), sets, "{compose}");
        }
    }
}
