use std::{collections::BTreeMap, future::Future};

use hearth_api::v1::event::Kind;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::*;
use crate::{
    attempt::AttemptLog,
    door::upstream::{self, Body},
    metrics::AgentMetrics,
    policy::{HostAccess, Policy},
};

/// An engine that has what it is told, and notes what it is asked.
#[derive(Clone, Default)]
struct Engine {
    /// Answers by path, without the version.
    things: Arc<BTreeMap<String, Value>>,
    asked: Arc<parking_lot::Mutex<Vec<(String, Value)>>>,
}

impl Engine {
    fn with(things: &[(&str, Value)]) -> Self {
        let things = things
            .iter()
            .map(|(path, value)| ((*path).to_owned(), value.clone()));
        Self {
            things: Arc::new(things.collect()),
            asked: Arc::default(),
        }
    }

    async fn answer(self, request: Request<Incoming>, children: Children) -> Response<Body> {
        let call = format!("{} {}", request.method(), request.uri());
        let path = request.uri().path().trim_start_matches("/v1.45").to_owned();
        if request.headers().contains_key(header::UPGRADE) {
            self.asked.lock().push((call, Value::Null));
            return echo(request, &children);
        }
        let is_get = request.method() == Method::GET;
        let body = upstream::whole(request.into_body(), 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        self.asked.lock().push((call, body));
        let thing = self.things.get(&path).cloned();
        let (status, thing) = match thing {
            Some(thing) => (StatusCode::OK, thing),
            None if is_get => (StatusCode::NOT_FOUND, json!({ "message": "there is none" })),
            None => (StatusCode::CREATED, json!({ "Id": "made", "Name": "made" })),
        };
        let mut answer = Response::new(upstream::full(thing.to_string()));
        *answer.status_mut() = status;
        answer
    }

    /// Calls that were made, other than looking things up.
    fn made(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let calls = asked.iter().map(|(call, _)| call.clone());
        calls
            .filter(|call| call.contains("/v1.45/") || !call.starts_with("GET "))
            .collect()
    }

    fn body_of(&self, part: &str) -> Value {
        let asked = self.asked.lock();
        let found = asked.iter().find(|(call, _)| call.contains(part));
        found
            .unwrap_or_else(|| panic!("no {part} in {asked:?}"))
            .1
            .clone()
    }
}

/// Sends back what arrives, after its end.
fn echo(mut request: Request<Incoming>, children: &Children) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    children.spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        text.reverse();
        stream.write_all(&text).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut answer = Response::new(upstream::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer
        .headers_mut()
        .insert(header::CONNECTION, "Upgrade".parse().unwrap());
    answer
        .headers_mut()
        .insert(header::UPGRADE, "tcp".parse().unwrap());
    answer
}

struct World {
    engine: Engine,
    log: Arc<AttemptLog>,
    socket: PathBuf,
}

impl World {
    /// Sends a request and reads the answer, as the engine's clients do it.
    async fn call(&self, method: &str, target: &str, body: Value) -> (StatusCode, Value) {
        let client = Upstream::new(self.socket.clone(), Children::default());
        let body = (!body.is_null()).then_some(&body);
        let method = method.parse().unwrap();
        let (status, body) = client
            .call(method, &format!("/v1.45{target}"), body)
            .await
            .unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.log.after(0, None).events.into_iter();
        let warnings = events.filter_map(|event| match event.kind {
            Some(Kind::Warning(warning)) => Some(warning.message),
            _ => None,
        });
        warnings.collect()
    }
}

/// Runs a test at the door of workspace ws-1, which may ask for nothing of the node.
async fn at_the_door<T>(engine: Engine, test: impl AsyncFnOnce(World) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real.sock");
    let listener = UnixListener::bind(&real).unwrap();
    let children = Children::default();
    let _ends = EndsChildren(children.clone());
    let stand_in = engine.clone();
    children.clone().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (engine, of_connection) = (stand_in.clone(), children.clone());
            children.spawn(async move {
                let service = service_fn(move |request| {
                    let answer = engine.clone().answer(request, of_connection.clone());
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    let log = Arc::new(AttemptLog::new(1));
    let metrics = AgentMetrics::new(&hearth_runtime::Metrics::default());
    let policy = Policy {
        host_access: HostAccess::Never,
        open_doors: [].into(),
    };
    let door = Doors::to(&format!("unix://{}", real.display()))
        .open(
            dir.path(),
            &"ws-1".parse().unwrap(),
            policy.allow(true, None),
            Recorder::new(log.clone(), metrics),
            OwnImages::of(&"ws-1".parse().unwrap(), Some("r:5/own/app".to_owned())),
            None,
        )
        .unwrap();
    let world = World {
        engine,
        log,
        socket: dir.path().join(scratch::ENGINE_SOCKET),
    };
    within(door, test(world)).await
}

async fn within<T>(door: OpenDoor, test: impl Future<Output = T>) -> T {
    tokio::select! {
        () = door.serve() => panic!("the door closed"),
        result = test => result,
    }
}

const OWN: &str = "aaaa";
const OTHER: &str = "bbbb";

fn container(id: &str, workspace: &str) -> Value {
    json!({ "Id": id, "Config": { "Labels": { "hearth.workspace": workspace } } })
}

fn two_workspaces() -> Engine {
    let labels = |workspace: &str| json!({ "hearth.workspace": workspace });
    Engine::with(&[
        ("/containers/aaaa/json", container(OWN, "ws-1")),
        ("/containers/hearth-ws-1.shop/json", container(OWN, "ws-1")),
        ("/containers/bbbb/json", container(OTHER, "ws-2")),
        (
            "/containers/hearth-ws-2.shop/json",
            container(OTHER, "ws-2"),
        ),
        (
            "/containers/nobodys/json",
            json!({ "Id": "cccc", "Config": { "Labels": null } }),
        ),
        ("/exec/e1/json", json!({ "ContainerID": OWN })),
        ("/exec/e2/json", json!({ "ContainerID": OTHER })),
        (
            "/networks/hearth-ws-1.back",
            json!({ "Name": "hearth-ws-1.back", "Labels": labels("ws-1") }),
        ),
        (
            "/networks/hearth-ws-2.back",
            json!({ "Name": "hearth-ws-2.back", "Labels": labels("ws-2") }),
        ),
        (
            "/networks/bridge",
            json!({ "Name": "bridge", "Labels": {}, "Options": { "com.docker.network.bridge.name": "no-such" } }),
        ),
        (
            "/volumes/hearth-ws-1.data",
            json!({ "Name": "hearth-ws-1.data", "Labels": labels("ws-1") }),
        ),
        (
            "/volumes/hearth-ws-1.stolen",
            json!({ "Name": "hearth-ws-1.stolen", "Labels": labels("ws-2") }),
        ),
        (
            "/volumes/hearth-ws-2.data",
            json!({ "Name": "hearth-ws-2.data", "Labels": labels("ws-2") }),
        ),
        (
            "/images/r:5/other/app:devcontainer-cache/json",
            json!({ "RepoTags": ["r:5/other/app:devcontainer-cache"] }),
        ),
        (
            "/images/abc/json",
            json!({ "RepoTags": ["r:5/other/app:devcontainer-cache-k1", "hearth-cache:x"] }),
        ),
        (
            "/images/debian:12/json",
            json!({ "RepoTags": ["debian:12", "hearth-cache:y"] }),
        ),
    ])
}

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
