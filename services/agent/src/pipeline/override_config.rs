use std::path::Path;

use serde_json::{Map, Value, json};

use crate::devcontainer::{Container, DevcontainerConfig};

/// The configuration for `devcontainer up`: the repository's properties of the container, on the finished image.
///
/// The clone, at `clone` on the node, is mounted alone: what the image has beside it can be seen. The attempt's door makes a mount
/// of the workspace's volume of that where the engine can mount a part of one.
pub fn override_config(
    clone: &Path,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Map<String, Value> {
    let name = clone.file_name().unwrap_or_default().to_string_lossy();
    let mut properties = config
        .map(|config| config.container.whole())
        .unwrap_or_default();
    properties.insert("image".to_owned(), json!(image));
    properties
        .entry("workspaceMount")
        .or_insert_with(|| mount(clone, &name));
    // The CLI ignores a workspaceMount without a workspaceFolder.
    properties
        .entry("workspaceFolder")
        .or_insert_with(|| json!(format!("/workspaces/{name}")));
    properties
}

fn mount(clone: &Path, name: &str) -> Value {
    let clone = clone.display();
    json!(format!(
        "source={clone},target=/workspaces/{name},type=bind"
    ))
}

/// The repository's configuration without its hooks, for a container whose metadata has them and whose clone is at
/// `folder`.
pub fn hookless_config(config: Option<&DevcontainerConfig>, folder: &str) -> Map<String, Value> {
    let container = config.map(|config| &config.container);
    let mut properties = container
        .unwrap_or(&Container::default())
        .properties
        .clone();
    properties.insert("workspaceFolder".to_owned(), json!(folder));
    // Without a mount the CLI would look for a git repository around the folder on the node.
    properties.insert("workspaceMount".to_owned(), json!(""));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcontainer::Place;

    fn made(text: &str) -> Value {
        let place = Place {
            clone: Path::new("/node/app"),
            default_image: "default:1",
        };
        let config =
            DevcontainerConfig::parse(place, Path::new(".devcontainer.json"), text).unwrap();
        Value::Object(override_config(place.clone, Some(&config), "a/b@x"))
    }

    #[test]
    fn the_container_gets_the_clones_configuration_on_the_finished_image() {
        let text = r#"{ "build": { "dockerfile": "Dockerfile" }, "features": {"./f": {}}, "initializeCommand": "x",
                        "postCreateCommand": "make", "runArgs": ["--init"], "remoteUser": "" }"#;
        assert_eq!(
            made(text),
            json!({
                "postCreateCommand": "make",
                "runArgs": ["--init"],
                "image": "a/b@x",
                "workspaceMount": "source=/node/app,target=/workspaces/app,type=bind",
                "workspaceFolder": "/workspaces/app",
            })
        );
    }

    #[test]
    fn a_mount_of_the_repositorys_own_is_kept() {
        let made = made(
            r#"{ "image": "x", "workspaceMount": "source=${localWorkspaceFolder},target=/app,type=bind", "workspaceFolder": "/app" }"#,
        );
        assert_eq!(made["workspaceFolder"], "/app");
        assert_eq!(
            made["workspaceMount"],
            "source=/node/app,target=/app,type=bind"
        );
    }
}
