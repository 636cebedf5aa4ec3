use hearth_domain::WorkspaceId;
use serde_json::{Map, Value, json};

use crate::{
    devcontainer_config::{DevcontainerConfig, IMAGE_PROPERTIES},
    external::engine::volume_name,
};

const HOOKS: [&str; 6] = [
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
];
const COMPOSE_PROPERTIES: [&str; 3] = ["dockerComposeFile", "service", "runServices"];

/// The configuration for `devcontainer up`: the repository's properties of the container, on the finished image.
pub fn override_config(
    repository: &str,
    workspace: &WorkspaceId,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Map<String, Value> {
    let mut properties = config
        .map(|config| config.properties.clone())
        .unwrap_or_default();
    for name in IMAGE_PROPERTIES.iter().chain(&COMPOSE_PROPERTIES) {
        properties.remove(*name);
    }
    properties.insert("image".to_owned(), json!(image));
    if !properties.contains_key("workspaceMount") {
        let mount = format!(
            "source={},target=/workspaces,type=volume",
            volume_name(workspace)
        );
        properties.insert("workspaceMount".to_owned(), json!(mount));
    }
    // The CLI ignores a workspaceMount without a workspaceFolder.
    if !properties.contains_key("workspaceFolder") {
        properties.insert(
            "workspaceFolder".to_owned(),
            json!(format!("/workspaces/{repository}")),
        );
    }
    properties
}

/// The repository's configuration without its hooks, for a container whose metadata has them.
pub fn hookless_config(config: Option<&DevcontainerConfig>) -> Map<String, Value> {
    let mut properties = config
        .map(|config| config.properties.clone())
        .unwrap_or_default();
    for hook in HOOKS {
        properties.remove(hook);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DevcontainerConfig {
        DevcontainerConfig {
            path: ".devcontainer.json".into(),
            properties: serde_json::from_str(text).unwrap(),
        }
    }

    #[test]
    fn the_container_gets_the_clones_configuration_on_the_finished_image() {
        let config = config(
            r#"{ "build": { "dockerfile": "Dockerfile" }, "features": {}, "postCreateCommand": "make", "runArgs": ["--init"] }"#,
        );
        assert_eq!(
            Value::Object(override_config(
                "app",
                &"ws-1".parse().unwrap(),
                Some(&config),
                "localhost:5000/a/b@sha256:0"
            )),
            json!({
                "postCreateCommand": "make",
                "runArgs": ["--init"],
                "image": "localhost:5000/a/b@sha256:0",
                "workspaceMount": "source=hearth-ws-1,target=/workspaces,type=volume",
                "workspaceFolder": "/workspaces/app",
            })
        );
    }

    #[test]
    fn a_mount_of_the_repositorys_own_is_kept() {
        let config = config(
            r#"{ "image": "x", "workspaceMount": "source=${localWorkspaceFolder},target=/app,type=bind", "workspaceFolder": "/app" }"#,
        );
        let made = override_config("app", &"ws-1".parse().unwrap(), Some(&config), "y");
        assert_eq!(made["workspaceFolder"], "/app");
        assert_eq!(
            made["workspaceMount"],
            "source=${localWorkspaceFolder},target=/app,type=bind"
        );
    }
}
