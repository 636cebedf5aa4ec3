use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use hearth_agent::fuzzing::{Node, call};
use serde_json::Value;
use tempfile::TempDir;

use crate::closed;

/// A node that opens nothing to anybody.
struct World {
    root: TempDir,
    node: Node,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
    let node = Node::make(root.path(), closed());
    let node = node.unwrap_or_else(|error| panic!("no node: {error}"));
    World { root, node }
});

/// In a seed, the folder that the node is in.
const ROOT: &str = "@ROOT@";

fn body(data: &[u8]) -> Vec<u8> {
    let root = WORLD.root.path().to_string_lossy();
    String::from_utf8_lossy(data)
        .replace(ROOT, &root)
        .into_bytes()
}

/// Reads the input as the body of a request for a container.
///
/// What comes out is the workspace's, has nothing of the node or of others, and stays as it is when it is judged again.
pub fn door_container(data: &[u8]) {
    let Some((made, _)) = WORLD.node.container(&body(data)) else {
        return;
    };
    assert_eq!(made["Labels"]["hearth.workspace"], "ws-1");
    let host = &made["HostConfig"];
    assert_ne!(host["Privileged"], true);
    assert_ne!(host["PublishAllPorts"], true);
    assert_ne!(host["OomKillDisable"], true);
    for mode in [
        "NetworkMode",
        "PidMode",
        "IpcMode",
        "UTSMode",
        "UsernsMode",
        "CgroupnsMode",
    ] {
        let mode = host[mode].as_str().unwrap_or_default();
        assert_ne!(mode, "host");
        let other = mode.strip_prefix("container:");
        assert!(other.is_none_or(|id| id == "id-of-db"), "{mode}");
    }
    for list in [
        "Devices",
        "DeviceRequests",
        "DeviceCgroupRules",
        "PortBindings",
    ] {
        let length = host[list].as_array().map_or(0, Vec::len)
            + host[list].as_object().map_or(0, |map| map.len());
        assert_eq!(length, 0, "{list}");
    }
    for text in ["CgroupParent", "Cgroup", "VolumeDriver"] {
        let text = host[text].as_str().unwrap_or_default();
        assert!(matches!(text, "" | "local"), "{text}");
    }
    for others in ["VolumesFrom", "Links"] {
        for other in texts(&host[others]) {
            assert!(other.split(':').next() == Some("id-of-db"), "{other}");
        }
    }
    for bind in texts(&host["Binds"]) {
        let source = bind.split(':').next().unwrap_or_default();
        assert!(!bind.contains(':') || is_own(source), "{bind}");
    }
    for mount in host["Mounts"].as_array().into_iter().flatten() {
        let source = mount["Source"].as_str().unwrap_or_default();
        match mount["Type"].as_str() {
            Some("bind") => assert_eq!(Path::new(source), folder("helper"), "{mount}"),
            Some("volume") => {
                assert!(source.is_empty() || is_own(source), "{mount}");
                let driver = &mount["VolumeOptions"]["DriverConfig"];
                assert!(is_harmless(&driver["Name"], &driver["Options"]), "{mount}");
            }
            kind => assert_eq!(kind, Some("tmpfs")),
        }
    }
    // A path in the workspace's volume became a mount of that, which gets a label when it is judged.
    let Some((again, warnings)) = WORLD.node.container(made.to_string().as_bytes()) else {
        panic!("{made} cannot be read again");
    };
    assert_eq!(warnings, Vec::<String>::new());
    let third = WORLD.node.container(again.to_string().as_bytes());
    assert_eq!(third, Some((again, warnings)));
}

/// Reads the input as the body of a request for a network.
pub fn door_network(data: &[u8]) {
    let Some((made, _)) = WORLD.node.network(data) else {
        return;
    };
    assert_eq!(made["Labels"]["hearth.workspace"], "ws-1");
    assert!(made["Name"].as_str().is_some_and(is_own));
    let driver = made["Driver"].as_str().unwrap_or_default();
    assert!(matches!(driver, "" | "default" | "bridge"), "{driver}");
    assert!(made["IPAM"]["Config"].as_array().is_none_or(Vec::is_empty));
    let again = WORLD.node.network(made.to_string().as_bytes());
    assert_eq!(again, Some((made, Vec::new())));
}

/// Reads the input as the body of a request for a volume.
pub fn door_volume(data: &[u8]) {
    let Some((made, _)) = WORLD.node.volume(&body(data)) else {
        return;
    };
    assert!(is_harmless(&made["Driver"], &made["DriverOpts"]), "{made}");
    let again = WORLD.node.volume(made.to_string().as_bytes());
    assert_eq!(again, Some((made, Vec::new())));
}

/// Reads each line of the input as method and target of a call, and what is behind a `?` as filters too.
///
/// The target that the engine gets is read as the same call, and lists are those of the workspace.
pub fn door_call(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines() {
        let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
        let read = |target: &str| match target.split_once('?') {
            Some((path, query)) => call(method, path, Some(query)),
            None => call(method, target, None),
        };
        let Some((target, filters)) = read(target) else {
            continue;
        };
        assert!(target.starts_with('/') && !target.contains("/../"));
        if let Some(filters) = &filters {
            assert!(filters.contains("\"hearth.workspace=ws-1\":true"));
        }
        assert_eq!(read(&target), Some((target, filters)));
    }
}

/// Whether a volume's driver is the local one, which makes no folder of the node of it.
fn is_harmless(driver: &Value, options: &Value) -> bool {
    let option = |name: &str| options[name].as_str().unwrap_or_default();
    let plain = options.as_object().is_none_or(|options| options.is_empty());
    matches!(driver.as_str(), None | Some("" | "local"))
        && (plain || option("type") == "tmpfs" && !option("o").contains("bind"))
}

fn is_own(name: &str) -> bool {
    name.starts_with("hearth-ws-1")
}

fn folder(name: &str) -> PathBuf {
    WORLD.root.path().join(name)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
