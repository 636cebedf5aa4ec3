use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use hearth_domain::WorkspaceId;
use proptest::prelude::*;
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

#[test]
fn paths_of_the_node_are_judged_by_where_they_lead() {
    let node = Node::new();
    let models = format!("bind-mounts:{}", node.path("srv/models"));
    let doors = [models.as_str()];
    let mounts = |doors: &[&str], source: &str| {
        let by_flag = node.host(
            doors,
            json!({ "Binds": [format!("{}:/x:ro", node.path(source))] }),
        );
        let mount = json!({ "Type": "bind", "Source": node.path(source), "Target": "/x", "ReadOnly": true });
        let by_mount = node.host(doors, json!({ "Mounts": [mount] }));
        (by_flag, by_mount)
    };
    // The workspace's own volume: the engine finds the folder.
    for (source, subpath) in [("volume", None), ("volume/app/data", Some("app/data"))] {
        let ((by_flag, none), (by_mount, nothing)) = mounts(&[], source);
        let mut expected = json!({
            "Type": "volume", "Source": "hearth-ws-1", "Target": "/x", "ReadOnly": true,
            "VolumeOptions": { "NoCopy": true },
        });
        if let Some(subpath) = subpath {
            expected["VolumeOptions"]["Subpath"] = json!(subpath);
        }
        assert_eq!(by_flag["Mounts"], json!([expected]));
        assert_eq!(by_mount["Mounts"], json!([expected]));
        assert_eq!((none.len(), nothing.len()), (0, 0));
    }
    // Elsewhere, and by a link in the volume.
    for source in [
        "srv",
        "srv/other",
        "volume/app/out",
        "volume/../srv",
        "nowhere",
    ] {
        let ((by_flag, said), (by_mount, says)) = mounts(&doors, source);
        assert_eq!(
            (&by_flag["Binds"], &by_mount["Mounts"]),
            (&Value::Null, &Value::Null),
            "{source}"
        );
        for says in [said, says] {
            assert!(
                says[0].contains("is left out: this node does not open bind-mounts:"),
                "{says:?}"
            );
        }
    }
    // Where the policy allows it.
    let ((by_flag, _), (by_mount, _)) = mounts(&doors, "srv/models");
    assert_eq!(
        by_flag["Binds"],
        json!([format!("{}:/x:ro", node.path("srv/models"))])
    );
    assert_eq!(by_mount["Mounts"][0]["Source"], node.path("srv/models"));
    let (_, (kept, warnings)) = mounts(&["everything"], "home/dev/.aws");
    assert_eq!(kept["Mounts"], Value::Null);
    assert!(
        warnings[0].contains("there is nothing at that path of the node"),
        "{warnings:?}"
    );
    // The helper's folder is for reading.
    let helper = json!({ "Type": "bind", "Source": node.path("helper"), "Target": "/opt/hearth" });
    let (kept, _) = node.host(&[], json!({ "Mounts": [helper] }));
    assert_eq!(kept["Mounts"][0]["ReadOnly"], true);
    assert_eq!(kept["Mounts"][0]["Type"], "bind");
}

#[test]
fn the_engines_socket_has_a_door_of_its_own() {
    let node = Node::new();
    let all = [
        format!("bind-mounts:{}", node.path("")),
        "bind-mounts:/".to_owned(),
    ];
    let doors: Vec<&str> = all.iter().map(String::as_str).collect();
    for source in [
        "/var/run/docker.sock",
        &node.path("run/engine.sock"),
        &node.path("run"),
        "/",
    ] {
        let (kept, warnings) = node.host(&doors, json!({ "Binds": [format!("{source}:/x")] }));
        assert_eq!(kept["Binds"], Value::Null, "{source}");
        assert!(
            warnings[0].contains("does not open docker-socket"),
            "{warnings:?}"
        );
    }
    let (kept, _) = node.host(
        &["docker-socket"],
        json!({ "Binds": ["/var/run/docker.sock:/x"] }),
    );
    assert_eq!(
        kept["Binds"],
        json!([format!("{}:/x", node.path("run/engine.sock"))])
    );
}

#[test]
fn volumes_are_the_workspaces_own() {
    let node = Node::new();
    let device = json!({ "type": "none", "o": "bind", "device": "/etc" });
    let volume = |options: Value| json!({ "Type": "volume", "Source": "shop-data", "Target": "/data", "VolumeOptions": options });
    let (kept, warnings) = node.host(
        &[],
        json!({ "Mounts": [volume(json!({}))], "Binds": ["other:/o:ro", "/anonymous"] }),
    );
    assert_eq!(kept["Mounts"][0]["Source"], "hearth-ws-1.shop-data");
    assert_eq!(
        kept["Mounts"][0]["VolumeOptions"]["Labels"],
        json!({ "hearth.workspace": "ws-1" })
    );
    assert_eq!(
        kept["Binds"],
        json!(["hearth-ws-1.other:/o:ro", "/anonymous"])
    );
    assert_eq!(warnings.len(), 0);
    for driver in [
        json!({ "Name": "local", "Options": device }),
        json!({ "Options": { "type": "", "o": "rw,rbind", "device": "/etc" } }),
        json!({ "Options": { "type": "tmpfs", "o": "bind", "device": "/etc" } }),
        json!({ "Options": { "type": "nfs", "o": "addr=1.2.3.4", "device": ":/" } }),
        json!({ "Options": { "type": "ext4", "device": "/dev/sda1" } }),
        json!({ "Name": "other", "Options": {} }),
    ] {
        let (kept, warnings) = node.host(
            &[],
            json!({ "Mounts": [volume(json!({ "DriverConfig": driver }))] }),
        );
        assert_eq!(
            kept["Mounts"][0]["VolumeOptions"]["DriverConfig"],
            Value::Null,
            "{driver}"
        );
        assert!(
            warnings[0].contains("of the volume at /data is left out"),
            "{warnings:?}"
        );
    }
    let tmpfs = json!({ "Options": { "type": "tmpfs", "device": "tmpfs" } });
    let (kept, _) = node.host(
        &[],
        json!({ "Mounts": [volume(json!({ "DriverConfig": tmpfs }))] }),
    );
    assert_eq!(kept["Mounts"][0]["VolumeOptions"]["DriverConfig"], tmpfs);
}

#[test]
fn only_containers_and_networks_of_the_workspace_are_joined() {
    let node = Node::new();
    let (kept, warnings) = node.host(
        &["everything"],
        json!({
            "PidMode": "container:db", "IpcMode": "container:other", "NetworkMode": "container:db",
            "VolumesFrom": ["db:ro", "other"], "Links": ["db:database", "other:o"],
        }),
    );
    assert_eq!(kept["PidMode"], "container:id-of-db");
    assert_eq!(kept["IpcMode"], Value::Null);
    assert_eq!(kept["NetworkMode"], "container:id-of-db");
    assert_eq!(kept["VolumesFrom"], json!(["id-of-db:ro"]));
    assert_eq!(kept["Links"], json!(["id-of-db:database"]));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning.contains("is not a container of this workspace"))
    );
    let endpoints = json!({
        "back": { "Aliases": ["web"], "IPAMConfig": { "IPv4Address": "10.0.0.5" }, "NetworkID": "x" }, "foo": {}
    });
    let (body, warnings) = node.judge(
        &[],
        json!({ "Image": "a", "HostConfig": { "NetworkMode": "back" }, "NetworkingConfig": { "EndpointsConfig": endpoints } }),
    );
    assert_eq!(body["HostConfig"]["NetworkMode"], "hearth-ws-1.back");
    assert_eq!(
        body["NetworkingConfig"],
        json!({ "EndpointsConfig": { "hearth-ws-1.back": { "Aliases": ["web"] } } })
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("the network foo is left out")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("the address 10.0.0.5 is left out")),
        "{warnings:?}"
    );
    let (body, warnings) = node.judge(
        &[],
        json!({ "Image": "a", "HostConfig": { "NetworkMode": "foo" }, "NetworkingConfig": { "EndpointsConfig": { "foo": {} } } }),
    );
    assert_eq!(
        (
            &body["HostConfig"]["NetworkMode"],
            &body["NetworkingConfig"]
        ),
        (&json!("default"), &Value::Null)
    );
    assert!(
        warnings[0].starts_with("the network foo is left out"),
        "{warnings:?}"
    );
}

#[test]
fn a_port_that_another_has_is_left_out_and_the_others_stay() {
    let node = Node::new();
    let ports = json!({
        "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "28080" }],
        "81/tcp": [{ "HostPort": "28081" }],
        "82/udp": [{ "HostPort": "28080" }],
        "83/tcp": [{ "HostPort": "" }],
    });
    let (kept, warnings) = node.host(&["host-ports"], json!({ "PortBindings": ports }));
    let kept: Vec<&String> = kept["PortBindings"].as_object().unwrap().keys().collect();
    assert_eq!(
        kept.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            &"81/tcp".to_owned(),
            &"82/udp".to_owned(),
            &"83/tcp".to_owned()
        ])
    );
    assert_eq!(
        warnings,
        ["the port 28080 of the node for 80/tcp is left out: another has it already"]
    );
}

#[test]
fn other_spellings_of_a_field_do_not_get_through() {
    let node = Node::new();
    let asked = json!({ "image": "b", "Image": "a", "hostconfig": { "Privileged": true }, "HostConfig": { "privileged": true, "PRIVILEGED": true, "Unknown": 1 } });
    let (body, _) = node.judge(&[], asked);
    assert_eq!(body["HostConfig"], json!({ "NetworkMode": "default" }));
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["Image", "Labels", "HostConfig"]
    );
    let twice = r#"{"Image": "a", "HostConfig": {"Privileged": false, "Privileged": true}}"#;
    assert!(serde_json::from_str::<ContainerCreateBody>(twice).is_err());
}

/// Values that ask for something of the node, or look as if.
fn hostile() -> impl Strategy<Value = (String, Value)> {
    let path = prop::sample::select(vec![
        "/",
        "/etc",
        "/var/run/docker.sock",
        "/proc/1/root",
        "/dev/sda",
        "x",
        "/tmp/../etc",
        "",
    ]);
    let word = prop::sample::select(vec![
        "host",
        "container:other",
        "",
        "none",
        "SYS_ADMIN",
        "all",
        "seccomp=unconfined",
        "foo",
        "private",
    ]);
    prop_oneof![
        prop::sample::select(vec!["PidMode", "IpcMode", "UTSMode", "UsernsMode", "NetworkMode", "Cgroup", "CgroupParent", "Runtime"])
            .prop_flat_map(move |key| prop::sample::select(vec!["host", "container:other", "", "none", "/x", "foo"]).prop_map(move |word| (key.to_owned(), json!(word)))),
        prop::sample::select(vec!["CapAdd", "SecurityOpt", "VolumesFrom", "Links", "DeviceCgroupRules"])
            .prop_flat_map(move |key| prop::collection::vec(word.clone(), 0..4).prop_map(move |words| (key.to_owned(), json!(words)))),
        prop::sample::select(vec!["Privileged", "PublishAllPorts", "OomKillDisable"])
            .prop_flat_map(|key| any::<bool>().prop_map(move |value| (key.to_owned(), json!(value)))),
        prop::collection::vec(path.clone(), 1..4).prop_map(|paths| {
            let binds: Vec<String> = paths.iter().map(|path| format!("{path}:/x:rshared")).collect();
            ("Binds".to_owned(), json!(binds))
        }),
        prop::collection::vec((path.clone(), prop::sample::select(vec!["bind", "volume", "tmpfs", "image", "npipe", "cluster"])), 1..4).prop_map(|mounts| {
            let mounts: Vec<Value> = mounts
                .iter()
                .map(|(path, typ)| json!({ "Type": typ, "Source": path, "Target": "/x", "BindOptions": { "Propagation": "rshared", "CreateMountpoint": true },
                    "VolumeOptions": { "DriverConfig": { "Name": "local", "Options": { "type": "none", "o": "bind", "device": path } } } }))
                .collect();
            ("Mounts".to_owned(), json!(mounts))
        }),
        path.prop_map(|path| ("Devices".to_owned(), json!([{ "PathOnHost": path }]))),
        Just(("MaskedPaths".to_owned(), json!([]))),
        Just(("DeviceRequests".to_owned(), json!([{ "Count": -1, "Capabilities": [["gpu"], ["x"]] }]))),
        Just(("PortBindings".to_owned(), json!({ "1/tcp": [{ "HostPort": "1" }], "2/tcp": null }))),
    ]
}

static NODE: LazyLock<Node> = LazyLock::new(Node::new);

proptest! {
    /// Whatever is asked, what goes out is the workspace's and asks for nothing of the node.
    #[test]
    fn nothing_that_is_closed_goes_out(fields in prop::collection::vec(hostile(), 0..12), label in "[a-z-]{0,8}") {
        let host: serde_json::Map<String, Value> = fields.into_iter().collect();
        let (body, _) = NODE.judge(&[], json!({ "Image": "a", "Labels": { "hearth.workspace": label }, "HostConfig": host }));
        prop_assert_eq!(&body["Labels"]["hearth.workspace"], "ws-1");
        let host = &body["HostConfig"];
        for key in ["PidMode", "IpcMode", "UTSMode", "UsernsMode", "NetworkMode", "Cgroup", "CgroupParent", "Runtime"] {
            let value = host[key].as_str().unwrap_or_default();
            prop_assert!(matches!(value, "" | "none" | "private" | "default"), "{} {}", key, value);
        }
        for key in ["CapAdd", "SecurityOpt", "VolumesFrom", "Links", "DeviceCgroupRules", "Devices", "DeviceRequests"] {
            let empty = host[key].as_array().is_none_or(Vec::is_empty);
            prop_assert!(empty, "{} {}", key, host[key]);
        }
        for key in ["Privileged", "PublishAllPorts", "OomKillDisable"] {
            prop_assert!(host[key] != json!(true), "{}", key);
        }
        prop_assert_eq!(&host["MaskedPaths"], &Value::Null);
        prop_assert!(host["PortBindings"].as_object().is_none_or(serde_json::Map::is_empty));
        for bind in host["Binds"].as_array().into_iter().flatten() {
            let bind = bind.as_str().unwrap();
            prop_assert!(!Path::new(bind).is_absolute() && bind.starts_with("hearth-ws-1."), "{}", bind);
        }
        for mount in host["Mounts"].as_array().into_iter().flatten() {
            let typ = mount["Type"].as_str().unwrap();
            prop_assert!(matches!(typ, "tmpfs" | "volume"), "{}", mount);
            if typ == "volume" {
                let source = mount["Source"].as_str().unwrap_or_default();
                prop_assert!(source.is_empty() || source.starts_with("hearth-ws-1."), "{}", mount);
                prop_assert_eq!(&mount["VolumeOptions"]["DriverConfig"], &Value::Null);
            }
        }
    }
}
