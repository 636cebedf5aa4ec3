//! Paths, volumes, ports, and other containers.

use super::*;

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
