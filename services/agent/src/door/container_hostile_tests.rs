//! Whatever is asked for.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

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
