#[path = "serve_world.rs"]
mod world;

use std::future::Future;

use hearth_api::v1::event::Kind;
use hearth_domain::{Secret, SecretValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use world::*;

use super::*;

#[tokio::test]
async fn only_what_is_the_workspaces_is_reached() {
    at_the_door(two_workspaces(), async |world| {
        for (method, target) in [
            ("GET", "/containers/aaaa/json"),
            ("GET", "/containers/shop/json"),
            ("POST", "/containers/shop/start"),
            ("DELETE", "/containers/aaaa"),
            ("GET", "/exec/e1/json"),
            ("GET", "/networks/back"),
            ("GET", "/volumes/data"),
            ("GET", "/images/debian:12/json"),
        ] {
            let (status, answer) = world.call(method, target, Value::Null).await;
            assert!(status.is_success(), "{method} {target}: {status} {answer}");
        }
        let made = world.engine.made();
        assert!(
            made.contains(&"DELETE /v1.45/containers/aaaa?v=1".to_owned()),
            "{made:?}"
        );
        assert!(
            made.contains(&"POST /v1.45/containers/aaaa/start".to_owned()),
            "{made:?}"
        );
        let before = made.len();
        for (method, target) in [
            ("GET", "/containers/bbbb/json"),
            ("GET", "/containers/hearth-ws-2.shop/json"),
            ("GET", "/containers/nobodys/json"),
            ("GET", "/containers/r:5/base/tiny:1/json"),
            ("GET", "/networks/r:5/base/tiny:1"),
            ("GET", "/volumes/r:5/base/tiny:1"),
            ("POST", "/containers/bbbb/start"),
            ("POST", "/containers/bbbb/exec"),
            ("GET", "/containers/bbbb/archive?path=/"),
            ("DELETE", "/containers/bbbb?force=1"),
            ("GET", "/exec/e2/json"),
            ("POST", "/exec/e2/start"),
            ("GET", "/networks/bridge"),
            ("GET", "/networks/hearth-ws-2.back"),
            ("DELETE", "/networks/hearth-ws-2.back"),
            ("GET", "/volumes/hearth-ws-2.data"),
            ("DELETE", "/volumes/stolen"),
            ("GET", "/images/abc/json"),
            ("GET", "/images/r:5/other/app:devcontainer-cache/json"),
        ] {
            let (status, answer) = world.call(method, target, Value::Null).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {target}: {answer}");
        }
        for (method, target) in [
            ("POST", "/build"),
            ("POST", "/images/debian:12/tag?repo=debian&tag=11"),
            ("POST", "/images/debian:12/tag?repo=hearth-ws-2&tag=1"),
            ("DELETE", "/images/debian:12?force=1"),
            (
                "POST",
                "/images/create?fromImage=r:5/other/app&tag=devcontainer-cache",
            ),
        ] {
            let (status, answer) = world.call(method, target, Value::Null).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {target}: {answer}");
            assert!(
                answer["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(' ')),
                "{answer}"
            );
        }
        assert_eq!(
            world.engine.made().len(),
            before,
            "{:?}",
            world.engine.made()
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_made_has_the_label_and_a_name_of_its_own() {
    at_the_door(two_workspaces(), async |world| {
        let asked = json!({
            "Image": "debian:12", "Labels": { "hearth.workspace": "ws-2" }, "Cmd": ["true"],
            "HostConfig": { "Privileged": true, "NetworkMode": "back", "Binds": ["new:/new", "data:/data"] },
        });
        for _ in 0..2 {
            world.call("POST", "/containers/create?name=shop", asked.clone()).await;
        }
        let made = world.engine.made();
        assert!(made.contains(&"POST /v1.45/containers/create?name=hearth-ws-1.shop".to_owned()), "{made:?}");
        let label = json!({ "hearth.workspace": "ws-1" });
        assert_eq!(
            world.engine.body_of("/containers/create"),
            json!({
                "Image": "debian:12", "Labels": label, "Cmd": ["true"],
                "HostConfig": {
                    "NetworkMode": "hearth-ws-1.back",
                    "Binds": ["hearth-ws-1.new:/new", "hearth-ws-1.data:/data"],
                },
            })
        );
        assert_eq!(world.engine.body_of("POST /volumes/create"), json!({ "Name": "hearth-ws-1.new", "Labels": label }));
        let warnings = world.warnings();
        assert_eq!(warnings.len(), 1, "each is told once: {warnings:?}");
        assert!(warnings[0].starts_with("privileged is left out"), "{warnings:?}");

        let other = json!({ "Image": "abc" });
        let (status, _) = world.call("POST", "/containers/create", other).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "another repository's image");
        world.call("POST", "/networks/create", json!({ "Name": "foo", "Driver": "macvlan", "Options": { "parent": "eth0" } })).await;
        assert_eq!(
            world.engine.body_of("POST /v1.45/networks/create"),
            json!({ "Name": "hearth-ws-1.foo", "Options": {}, "Labels": label })
        );
        let device = json!({ "type": "none", "o": "bind", "device": "/etc" });
        world.call("POST", "/volumes/create", json!({ "Name": "etc", "DriverOpts": device })).await;
        assert_eq!(world.engine.body_of("POST /v1.45/volumes/create"), json!({ "Name": "hearth-ws-1.etc", "Labels": label }));
        let (status, _) = world.call("POST", "/volumes/create", json!({ "Name": "stolen" })).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        world.call("POST", "/containers/shop/exec", json!({ "Cmd": ["id"], "Privileged": true })).await;
        assert_eq!(world.engine.body_of("/containers/aaaa/exec"), json!({ "Cmd": ["id"] }));
        world.secrets.hold(vec![Secret {
            name: "TOKEN".parse().unwrap(),
            value: SecretValue::new("planted".to_owned()).unwrap(),
        }]);
        let stand_in = world.secrets.stand_ins().unwrap()["TOKEN"].as_str().unwrap().to_owned();
        let environment = json!([format!("TOKEN={stand_in}"), format!("OTHER={stand_in}"), "PATH=/bin"]);
        world.call("POST", "/containers/shop/exec", json!({ "Cmd": ["make"], "Env": environment })).await;
        assert_eq!(
            world.engine.body_of("/containers/aaaa/exec"),
            json!({ "Cmd": ["make"], "Env": ["TOKEN=planted", format!("OTHER={stand_in}"), "PATH=/bin"] })
        );
        let (status, answer) = world.call("POST", "/containers/create", json!({ "Image": ["x"] })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    })
    .await;
}

#[tokio::test]
async fn lists_and_events_are_those_of_the_workspace() {
    let engine = Engine::with(&[
        ("/containers/json", json!([])),
        ("/events", json!({})),
        (
            "/networks",
            json!([{ "Name": "hearth-ws-1.back" }, { "Name": "hearth-ws-1_default" }]),
        ),
        (
            "/volumes",
            json!({ "Volumes": [{ "Name": "hearth-ws-1.data" }] }),
        ),
        (
            "/images/json",
            json!([
                { "RepoTags": ["debian:12"] }, { "RepoTags": ["hearth-ws-1-app:latest", "debian:11"] }, { "RepoTags": null },
            ]),
        ),
        (
            "/info",
            json!({ "Containers": 7, "Images": 3, "Driver": "overlay2", "Swarm": { "NodeID": "x" } }),
        ),
    ]);
    at_the_door(engine, async |world| {
        let label = "%7B%22label%22%3A%7B%22hearth.workspace%3Dws-1%22%3Atrue%7D%7D";
        for path in ["/containers/json", "/events", "/networks", "/volumes"] {
            world.call("GET", path, Value::Null).await;
            let made = world.engine.made();
            assert_eq!(
                *made.last().unwrap(),
                format!("GET /v1.45{path}?filters={label}")
            );
        }
        let (_, networks) = world.call("GET", "/networks", Value::Null).await;
        assert_eq!(
            networks,
            json!([{ "Name": "back" }, { "Name": "hearth-ws-1_default" }])
        );
        let (_, volumes) = world.call("GET", "/volumes", Value::Null).await;
        assert_eq!(volumes, json!({ "Volumes": [{ "Name": "data" }] }));
        let (_, images) = world.call("GET", "/images/json", Value::Null).await;
        assert_eq!(images, json!([{ "RepoTags": ["hearth-ws-1-app:latest"] }]));
        let (_, info) = world.call("GET", "/info", Value::Null).await;
        assert_eq!(
            (
                &info["Containers"],
                &info["Driver"],
                &info["Swarm"]["NodeID"]
            ),
            (&json!(0), &json!("overlay2"), &Value::Null)
        );
        let (status, _) = world
            .call("GET", "/containers/json?filters=x", Value::Null)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn a_connection_carries_bytes_both_ways_and_each_end_by_itself() {
    at_the_door(two_workspaces(), async |world| {
        for (target, body, protocol) in [
            ("/v1.45/containers/aaaa/attach?stream=1", "", "tcp"),
            ("/v1.45/exec/e1/start", "{}", "tcp"),
            ("/grpc", "", "h2c"),
            ("/session", "", "h2c"),
        ] {
            let mut stream = UnixStream::connect(&world.socket).await.unwrap();
            let length = body.len();
            let head = format!(
                "POST {target} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.unwrap());
            }
            assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
            let text: Vec<u8> = (0..200_000u32).map(|number| number.to_le_bytes()[0]).collect();
            stream.write_all(&text).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            back.reverse();
            assert_eq!(back, text, "{target}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_door_that_closes_ends_its_connections() {
    let mut stream = at_the_door(two_workspaces(), async |world| {
        let mut stream = UnixStream::connect(&world.socket).await.unwrap();
        let head = "POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream
    })
    .await;
    let mut rest = Vec::new();
    // An end or a reset, and no waiting.
    let _ = stream.read_to_end(&mut rest).await;
}
