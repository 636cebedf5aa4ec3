use hearth_domain::WorkspaceId;
use serde_json::{Map, Value, json};

use crate::{
    devcontainer::{Container, DevcontainerConfig},
    external::engine::volume_name,
};

/// The configuration for `devcontainer up`: the repository's properties of the container, on the finished image.
pub fn override_config(
    repository: &str,
    workspace: &WorkspaceId,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Map<String, Value> {
    let mut properties = config
        .map(|config| config.container.whole())
        .unwrap_or_default();
    properties.insert("image".to_owned(), json!(image));
    properties
        .entry("workspaceMount")
        .or_insert_with(|| mount(workspace));
    // The CLI ignores a workspaceMount without a workspaceFolder.
    properties
        .entry("workspaceFolder")
        .or_insert_with(|| json!(format!("/workspaces/{repository}")));
    properties
}

fn mount(workspace: &WorkspaceId) -> Value {
    let volume = volume_name(workspace);
    json!(format!("source={volume},target=/workspaces,type=volume"))
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
    use std::path::Path;

    use super::*;
    use crate::devcontainer::Place;

    fn made(text: &str) -> Value {
        let place = Place {
            clone: Path::new("/node/app"),
            default_image: "default:1",
        };
        let config =
            DevcontainerConfig::parse(place, Path::new(".devcontainer.json"), text).unwrap();
        let workspace = "ws-1".parse().unwrap();
        Value::Object(override_config("app", &workspace, Some(&config), "a/b@x"))
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
                "workspaceMount": "source=hearth-ws-1,target=/workspaces,type=volume",
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
