//! A door to an engine that is a stand-in.

use std::collections::BTreeMap;

use http::{Request, Response, header};
use hyper::body::Incoming;

use super::*;
use crate::{
    attempt::AttemptLog,
    door::upstream::{self, Body},
    metrics::AgentMetrics,
    policy::{HostAccess, Policy},
};

/// An engine that has what it is told, and notes what it is asked.
#[derive(Clone, Default)]
pub(super) struct Engine {
    /// Answers by path, without the version.
    things: Arc<BTreeMap<String, Value>>,
    asked: Arc<parking_lot::Mutex<Vec<(String, Value)>>>,
}

impl Engine {
    pub(super) fn with(things: &[(&str, Value)]) -> Self {
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
    pub(super) fn made(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let calls = asked.iter().map(|(call, _)| call.clone());
        calls
            .filter(|call| call.contains("/v1.45/") || !call.starts_with("GET "))
            .collect()
    }

    /// The body of the last call to `part`.
    pub(super) fn body_of(&self, part: &str) -> Value {
        let asked = self.asked.lock();
        let found = asked.iter().rfind(|(call, _)| call.contains(part));
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

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) log: Arc<AttemptLog>,
    pub(super) secrets: HeldSecrets,
    pub(super) socket: PathBuf,
}

impl World {
    /// Sends a request and reads the answer, as the engine's clients do it.
    pub(super) async fn call(
        &self,
        method: &str,
        target: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let client = Upstream::new(self.socket.clone(), Children::default());
        let body = (!body.is_null()).then_some(&body);
        let method = method.parse().unwrap();
        let (status, body) = client
            .call(method, &format!("/v1.45{target}"), body)
            .await
            .unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let events = self.log.after(0, None).events.into_iter();
        let warnings = events.filter_map(|event| match event.kind {
            Some(Kind::Warning(warning)) => Some(warning.message),
            _ => None,
        });
        warnings.collect()
    }
}

/// Runs a test at the door of workspace ws-1, which may ask for nothing of the node.
pub(super) async fn at_the_door<T>(engine: Engine, test: impl AsyncFnOnce(World) -> T) -> T {
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
    let secrets = HeldSecrets::default();
    let door = Doors::to(&format!("unix://{}", real.display()))
        .open(
            dir.path(),
            &"ws-1".parse().unwrap(),
            policy.allow(true, None),
            Recorder::new(log.clone(), metrics),
            Own {
                images: OwnImages::of(&"ws-1".parse().unwrap(), Some("r:5/own/app".to_owned())),
                helper: None,
                secrets: secrets.clone(),
            },
        )
        .unwrap();
    let world = World {
        engine,
        log,
        secrets,
        socket: dir.path().join(scratch::ENGINE_SOCKET),
    };
    within(door, test(world)).await
}

pub(super) async fn within<T>(door: OpenDoor, test: impl Future<Output = T>) -> T {
    tokio::select! {
        () = door.serve() => panic!("the door closed"),
        result = test => result,
    }
}

pub(super) const OWN: &str = "aaaa";
pub(super) const OTHER: &str = "bbbb";

pub(super) fn container(id: &str, workspace: &str) -> Value {
    json!({ "Id": id, "Config": { "Labels": { "hearth.workspace": workspace } } })
}

pub(super) fn two_workspaces() -> Engine {
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
