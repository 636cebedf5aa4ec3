use std::path::Path;

use hearth_agent::{devcontainer::BuildOption, fuzzing};
use serde_json::Value;

use crate::closed;

/// Any folder stands for the clone.
const CLONE: &str = env!("CARGO_MANIFEST_DIR");

/// Reads the input as what Compose makes of a project.
///
/// What is built has a name of the workspace's, caches of its own, and nothing of the node.
pub fn compose(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((project, _)) = fuzzing::compose(CLONE.as_ref(), &closed(), &text) else {
        return;
    };
    let read: Value =
        serde_json::from_str(&project).unwrap_or_else(|error| panic!("{error}: {project}"));
    for service in read["services"]
        .as_object()
        .into_iter()
        .flat_map(|services| services.values())
    {
        let Some(build) = service["build"].as_object() else {
            continue;
        };
        assert_eq!(build["args"]["BUILDKIT_CACHE_MOUNT_NS"], "ns");
        assert!(
            ["tags", "cache_to"]
                .iter()
                .all(|name| !build.contains_key(*name))
        );
        assert_ne!(service["build"]["network"], "host");
        assert_ne!(service["build"]["privileged"], true);
        let rights = service["build"]["entitlements"].as_array();
        assert!(rights.is_none_or(Vec::is_empty));
        let image = service["image"].as_str().unwrap_or("hearth-ws-1_");
        assert!(image.starts_with("hearth-ws-1_"), "{image}");
    }
    for (service, build) in fuzzing::service_builds(CLONE.as_ref(), &closed(), &text) {
        let inside = |path: &Path| path.is_relative() && !path.starts_with("..");
        assert!(inside(&build.context), "{service}: {build:?}");
        assert!(inside(&build.dockerfile), "{service}: {build:?}");
        assert!(!build.args.contains_key("BUILDKIT_CACHE_MOUNT_NS"));
        for option in &build.options {
            match option {
                BuildOption::Secret { file, .. } => assert!(inside(file), "{option:?}"),
                BuildOption::Folder { folder, .. } => assert!(inside(folder), "{option:?}"),
                BuildOption::Plain(word) => assert!(word.starts_with("--"), "{option:?}"),
                _ => {}
            }
        }
    }
    // Names of its own are given again, so only that it can be read again is the same.
    assert!(fuzzing::compose(CLONE.as_ref(), &closed(), &project).is_some());
}
