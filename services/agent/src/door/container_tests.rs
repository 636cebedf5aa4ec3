#[path = "container_hostile_tests.rs"]
mod hostile;
#[path = "container_places_tests.rs"]
mod places;

use std::{collections::BTreeMap, path::Path};

use hearth_domain::WorkspaceId;
use serde_json::{Value, json};

use super::*;
use crate::{
    door::{names::Names, places::Places, ports::Port},
    policy::{HostAccess, Policy},
};

/// A node with a workspace's volume in it, and what a request is judged by.
struct Node {
    dir: tempfile::TempDir,
    places: Places,
    workspace: WorkspaceId,
    names: Names,
    containers: BTreeMap<String, String>,
    networks: BTreeMap<String, String>,
    taken: BTreeSet<Port>,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        for folder in ["volume/app/data", "srv/models", "run", "helper"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("volume/app/out")).unwrap();
        std::os::unix::net::UnixListener::bind(root.join("run/engine.sock")).unwrap();
        let workspace: WorkspaceId = "ws-1".parse().unwrap();
        Self {
            places: Places {
                engine: root.join("run/engine.sock"),
                volume: Some(root.join("volume")),
                helper: Some(root.join("helper")),
            },
            names: Names::of(&workspace),
            workspace,
            containers: BTreeMap::from([("db".to_owned(), "id-of-db".to_owned())]),
            networks: BTreeMap::from([
                ("back".to_owned(), "hearth-ws-1.back".to_owned()),
                (
                    "hearth-ws-1_default".to_owned(),
                    "hearth-ws-1_default".to_owned(),
                ),
            ]),
            taken: BTreeSet::from([Port {
                protocol: "tcp".to_owned(),
                number: 28080,
            }]),
            dir,
        }
    }

    fn path(&self, path: &str) -> String {
        let root = std::fs::canonicalize(self.dir.path()).unwrap();
        root.join(path).to_str().unwrap().to_owned()
    }

    /// What a request becomes, and the warnings.
    fn judge(&self, doors: &[&str], asked: Value) -> (Value, Vec<String>) {
        let everything = doors == ["everything"];
        let policy = Policy {
            host_access: if everything {
                HostAccess::Always
            } else {
                HostAccess::Never
            },
            open_doors: doors
                .iter()
                .filter(|_| !everything)
                .map(|door| door.parse().unwrap())
                .collect(),
        };
        let judge = Judge {
            workspace: &self.workspace,
            names: &self.names,
            allowed: &policy.allow(false, None),
            places: &self.places,
            containers: &self.containers,
            networks: &self.networks,
            taken: &self.taken,
            subpaths: true,
        };
        let judged = super::judge(&judge, serde_json::from_value(asked).unwrap());
        (serde_json::to_value(judged.body).unwrap(), judged.warnings)
    }

    fn host(&self, doors: &[&str], host: Value) -> (Value, Vec<String>) {
        let (mut body, warnings) = self.judge(doors, json!({ "Image": "a", "HostConfig": host }));
        (body["HostConfig"].take(), warnings)
    }
}

#[test]
fn what_is_closed_is_left_out_by_name_and_what_is_open_passes_unchanged() {
    let node = Node::new();
    let container = |key: &str, value: Value| (key.to_owned(), value);
    for ((key, asked), door, says) in [
        (
            container("Privileged", json!(true)),
            "privileged",
            "privileged",
        ),
        (
            container("CapAdd", json!(["SYS_ADMIN"])),
            "privileged",
            "the capability SYS_ADMIN",
        ),
        (
            container("CapAdd", json!(["cap_net_admin"])),
            "privileged",
            "the capability cap_net_admin",
        ),
        (
            container("CapAdd", json!(["ALL"])),
            "privileged",
            "the capability ALL",
        ),
        (
            container("SecurityOpt", json!(["seccomp=unconfined"])),
            "privileged",
            "the security option seccomp=unconfined",
        ),
        (
            container("SecurityOpt", json!(["label=disable"])),
            "privileged",
            "the security option label=disable",
        ),
        (
            container("SecurityOpt", json!(["apparmor:unconfined"])),
            "privileged",
            "the security option apparmor:unconfined",
        ),
        (
            container("PidMode", json!("host")),
            "privileged",
            "the pid namespace host",
        ),
        (
            container("IpcMode", json!("host")),
            "privileged",
            "the ipc namespace host",
        ),
        (
            container("UTSMode", json!("host")),
            "privileged",
            "the uts namespace host",
        ),
        (
            container("UsernsMode", json!("host")),
            "privileged",
            "the user namespace host",
        ),
        (
            container("CgroupnsMode", json!("host")),
            "privileged",
            "the cgroup namespace host",
        ),
        (
            container("Cgroup", json!("container:db")),
            "privileged",
            "the cgroup container:db",
        ),
        (
            container("CgroupParent", json!("/")),
            "privileged",
            "the cgroup parent /",
        ),
        (
            container("Runtime", json!("other")),
            "privileged",
            "the runtime other",
        ),
        (
            container("MaskedPaths", json!([])),
            "privileged",
            "systempaths=unconfined",
        ),
        (
            container("ReadonlyPaths", json!([])),
            "privileged",
            "systempaths=unconfined",
        ),
        (
            container("Annotations", json!({ "run.oci.hooks": "x" })),
            "privileged",
            "the annotation run.oci.hooks",
        ),
        (
            container("Sysctls", json!({ "kernel.core_pattern": "|x" })),
            "privileged",
            "the sysctl kernel.core_pattern",
        ),
        (
            container("Sysctls", json!({ "fs/file-max": "1" })),
            "privileged",
            "the sysctl fs/file-max",
        ),
        (
            container("OomScoreAdj", json!(-500)),
            "privileged",
            "the OOM score -500",
        ),
        (
            container("OomKillDisable", json!(true)),
            "privileged",
            "oom-kill-disable",
        ),
        (
            container("StorageOpt", json!({ "dm.x": "y" })),
            "privileged",
            "the storage option dm.x",
        ),
        (
            container("LogConfig", json!({ "Type": "syslog" })),
            "privileged",
            "the logging driver syslog",
        ),
        (
            container("VolumeDriver", json!("nfs")),
            "privileged",
            "the volume driver nfs",
        ),
        (
            container("Devices", json!([{ "PathOnHost": "/dev/sda" }])),
            "devices",
            "the device /dev/sda",
        ),
        (
            container("DeviceCgroupRules", json!(["c 1:1 rwm"])),
            "devices",
            "the device rule c 1:1 rwm",
        ),
        (
            container(
                "DeviceRequests",
                json!([{ "Driver": "cdi", "DeviceIDs": ["vendor.com/net=all"] }]),
            ),
            "devices",
            "the request of devices by \"cdi\"",
        ),
        (
            container(
                "DeviceRequests",
                json!([{ "Driver": "cdi", "Capabilities": [["gpu"]] }]),
            ),
            "devices",
            "the request of devices by \"cdi\"",
        ),
        (
            container(
                "DeviceRequests",
                json!([{ "Driver": "", "Count": -1, "Capabilities": [["gpu"]] }]),
            ),
            "gpus",
            "the request of GPUs",
        ),
        (
            container("NetworkMode", json!("host")),
            "host-network",
            "the network host",
        ),
        (
            container("PublishAllPorts", json!(true)),
            "host-ports",
            "publish-all",
        ),
        (
            container(
                "PortBindings",
                json!({ "80/tcp": [{ "HostPort": "8080" }] }),
            ),
            "host-ports",
            "the port 8080 of the node for 80/tcp",
        ),
        (
            container(
                "Mounts",
                json!([{ "Type": "image", "Source": "a", "Target": "/a" }]),
            ),
            "privileged",
            "the image mount at /a",
        ),
    ] {
        let (closed, warnings) = node.host(&[], json!({ &key: asked }));
        assert_ne!(closed[&key], asked, "{key}");
        let [warning] = warnings.as_slice() else {
            panic!("{key}: {warnings:?}")
        };
        assert!(
            warning.starts_with(&format!(
                "{says} is left out: this node does not open {door} "
            )),
            "{warning}"
        );
        for doors in [[door], ["everything"]] {
            let (open, warnings) = node.host(&doors, json!({ &key: asked }));
            assert_eq!(open[&key], asked);
            assert_eq!(warnings, <[String; 0]>::default(), "{key}");
        }
    }
}

#[test]
fn what_asks_nothing_of_the_node_passes_without_a_word() {
    let node = Node::new();
    for (key, asked) in [
        ("CapAdd", json!(["SYS_PTRACE", "CAP_CHOWN", "net_raw"])),
        ("CapDrop", json!(["ALL"])),
        (
            "SecurityOpt",
            json!(["no-new-privileges:true", "seccomp=builtin"]),
        ),
        ("IpcMode", json!("private")),
        ("NetworkMode", json!("none")),
        ("Runtime", json!("runc")),
        (
            "Sysctls",
            json!({ "net.ipv4.ip_unprivileged_port_start": "0", "kernel.shmmax": "1" }),
        ),
        ("OomScoreAdj", json!(500)),
        ("StorageOpt", json!({ "size": "10G" })),
        (
            "LogConfig",
            json!({ "Type": "json-file", "Config": { "max-size": "1m" } }),
        ),
        (
            "Ulimits",
            json!([{ "Name": "nofile", "Soft": 1, "Hard": 2 }]),
        ),
        ("Memory", json!(1)),
        ("ShmSize", json!(1)),
        ("ExtraHosts", json!(["a:1.2.3.4"])),
        ("GroupAdd", json!(["dialout"])),
        (
            "RestartPolicy",
            json!({ "Name": "always", "MaximumRetryCount": 0 }),
        ),
        ("Init", json!(true)),
        ("Tmpfs", json!({ "/tmp": "size=1m" })),
        ("Mounts", json!([{ "Type": "tmpfs", "Target": "/a" }])),
    ] {
        let (kept, warnings) = node.host(&[], json!({ key: asked }));
        assert_eq!(kept[key], asked);
        assert_eq!(warnings, <[String; 0]>::default(), "{key}");
    }
}

#[test]
fn a_container_is_the_workspaces_whatever_its_labels_say() {
    let node = Node::new();
    let labels = json!({ "hearth.workspace": "ws-2", "a": "b" });
    let (body, _) = node.judge(&["everything"], json!({ "Image": "a", "Labels": labels }));
    assert_eq!(
        body["Labels"],
        json!({ "hearth.workspace": "ws-1", "a": "b" })
    );
    let (body, _) = node.judge(&[], json!({ "Image": "a" }));
    assert_eq!(body["Labels"], json!({ "hearth.workspace": "ws-1" }));
}
