use std::path::Path;

use hearth_agent::devcontainer::{
    Base, BuildGrant, BuildOption, DevcontainerConfig, Place, Source,
};
use hearth_domain::Platform;
use serde_json::{Value, json};

use crate::closed;

fn parse(config: &Value) -> Option<DevcontainerConfig> {
    let place = Place {
        clone: Path::new("/node/app"),
        default_image: "default:1",
    };
    let path = Path::new("devcontainer.json");
    DevcontainerConfig::parse(place, path, &config.to_string()).ok()
}

/// Reads each line of the input as a word of `build.options`.
///
/// Nothing of the node is left in what docker gets, and nothing waits for a decision.
pub fn build_options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.lines().collect();
    let config = parse(&json!({ "build": { "dockerfile": "Dockerfile", "options": words } }));
    let platform = "linux/amd64".parse::<Platform>();
    let (Some(mut config), Ok(platform)) = (config, platform) else {
        return;
    };
    config.grant(&BuildGrant {
        platform: &platform,
        allowed: &closed(),
    });
    let Source::Recipe(recipe) = &config.source else {
        return;
    };
    let Base::Dockerfile(build) = &recipe.base else {
        return;
    };
    let inside = |path: &Path| path.is_relative() && !path.starts_with("..");
    assert!(inside(&build.dockerfile), "{build:?}");
    for option in &build.options {
        match option {
            BuildOption::Plain(word) => {
                let name = word.split('=').next().unwrap_or_default();
                let known = [
                    "--add-host",
                    "--label",
                    "--network",
                    "--no-cache",
                    "--no-cache-filter",
                    "--pull",
                    "--shm-size",
                    "--ulimit",
                ];
                assert!(known.contains(&name), "{word:?}");
                assert_ne!(word, "--network=host");
            }
            BuildOption::Secret { file, .. } => assert!(inside(file), "{option:?}"),
            BuildOption::Ssh { keys, .. } => {
                assert!(keys.iter().all(|key| inside(key)), "{option:?}")
            }
            BuildOption::Folder { folder, .. } => assert!(inside(folder), "{option:?}"),
            BuildOption::Remote { from, .. } => assert!(from.contains("://"), "{option:?}"),
            BuildOption::Service { .. } | BuildOption::Asks(..) | BuildOption::Platform(_) => {
                panic!("{option:?}")
            }
        }
    }
}

/// Reads each line of the input as an argument of `docker run`.
///
/// The user is one of the words, or the end of one.
pub fn run_args(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.lines().collect();
    let Some(config) = parse(&json!({ "image": "a", "runArgs": words })) else {
        return;
    };
    let arguments = config
        .container
        .properties
        .get("runArgs")
        .and_then(Value::as_array);
    let arguments: Vec<&str> = arguments
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(user) = config.container.run_user() {
        assert!(
            arguments.iter().any(|word| word.ends_with(&user)),
            "{user:?}"
        );
    }
}
