use std::{collections::BTreeMap, convert::Infallible, path::Path, sync::Arc};

use bollard::API_DEFAULT_VERSION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::UnixListener, task::JoinSet};

use super::*;

/// An engine that has some things, by the paths that remove them, and hangs when it is to remove one of those in `hangs`.
#[derive(Clone, Default)]
struct StandIn {
    things: Arc<Mutex<BTreeMap<String, Value>>>,
    hangs: Arc<Mutex<BTreeSet<String>>>,
    /// What another client has it remove; that has ended when somebody waits for it.
    is_removing: Option<&'static str>,
}

impl StandIn {
    /// The workspace's containers `a` (with a volume and an image of its own), `b` and `c`, and what they use.
    fn with_three_containers(folder: &Path) -> Self {
        let container = |id: &str, image: &str, volume: &str| json!({"Id": id, "Image": image, "Mounts": [{"Type": "volume", "Name": volume}]});
        let volume = |name: &str| {
            let place = folder.join(name);
            std::fs::create_dir_all(place.join("deep")).unwrap();
            json!({
                "Name": name, "Driver": "local", "Mountpoint": place, "Labels": {}, "Scope": "local", "Options": {},
            })
        };
        let image = |tag: &str| {
            json!({
                "Id": tag, "RepoTags": [tag], "RepoDigests": [], "ParentId": "", "Created": 0, "Size": 0, "SharedSize": 0,
                "Labels": {}, "Containers": 0,
            })
        };
        let things = [
            ("/containers/a", container("a", "vsc-app", "hung")),
            (
                "/containers/b",
                container("b", "hearth-ws-1:1", "hearth-ws-1"),
            ),
            ("/containers/c", container("c", "debian:12", "free")),
            ("/networks/n", json!({"Id": "n", "Name": "n"})),
            ("/networks/m", json!({"Id": "m", "Name": "m"})),
            ("/volumes/hung", volume("hung")),
            ("/volumes/free", volume("free")),
            ("/volumes/hearth-ws-1", volume("hearth-ws-1")),
            ("/images/hearth-ws-1:1", image("hearth-ws-1:1")),
            ("/images/debian:12", image("debian:12")),
        ];
        let things = things.map(|(path, thing)| (path.to_owned(), thing));
        Self {
            things: Arc::new(Mutex::new(things.into())),
            hangs: Arc::default(),
            is_removing: None,
        }
    }

    fn hang(&self, paths: &[&str]) {
        *self.hangs.lock() = paths.iter().map(|&path| path.to_owned()).collect();
    }

    /// What is there.
    fn left(&self) -> Vec<String> {
        self.things.lock().keys().cloned().collect()
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        let things = self.things.lock();
        let of_kind = things.iter().filter(|(path, _)| path.starts_with(kind));
        of_kind.map(|(_, thing)| thing.clone()).collect()
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().replace("%3A", ":");
        if self.hangs.lock().contains(&path) {
            return std::future::pending().await;
        }
        let answer = match path.as_str() {
            "/containers/json" => json!(self.of("/containers/")),
            "/networks" => json!(self.of("/networks/")),
            "/volumes" => json!({"Volumes": self.of("/volumes/")}),
            "/images/json" => json!(self.of("/images/")),
            _ if request.method() == Method::DELETE && self.is_removing == Some(&*path) => {
                let message = json!({"message": "removal of container is already in progress"});
                let mut response = Response::new(Full::from(message.to_string()));
                *response.status_mut() = StatusCode::CONFLICT;
                return response;
            }
            "/containers/a/wait" => {
                assert_eq!(request.uri().query(), Some("condition=removed"));
                self.things.lock().remove("/containers/a");
                json!({"StatusCode": 137})
            }
            _ if request.method() == Method::DELETE => match self.things.lock().remove(&path) {
                Some(_) => json!([]),
                None => Value::Null,
            },
            _ => self.things.lock().get(&path).cloned().unwrap_or_default(),
        };
        let mut response = Response::new(Full::from(answer.to_string()));
        if answer.is_null() {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = Full::from(r#"{"message": "there is none"}"#);
        }
        response
    }

    async fn serve(self, listener: UnixListener) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let engine = self.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answer = engine.clone().answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that gives up closes it.
                let _ = connection
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    /// One try at removing workspace ws-1.
    async fn remove(&self, folder: &Path) -> Result<(), EngineFailure> {
        let socket = folder.join("engine.sock");
        // It may be that of the try before.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let host = format!("unix://{}", socket.display());
        let docker = Docker::connect_with_unix(&host, 120, API_DEFAULT_VERSION).unwrap();
        let workspace = "ws-1".parse().unwrap();
        let removal = Removal::new(&docker, &host, &workspace, Duration::from_millis(500));
        tokio::select! {
            () = self.clone().serve(listener) => unreachable!(),
            () = removal.everything() => {}
        }
        removal.end()
    }
}

#[tokio::test]
async fn a_container_that_hangs_keeps_nothing_but_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let engine = StandIn::with_three_containers(dir.path());
    engine.hang(&["/containers/a", "/networks/n"]);
    let failure = engine.remove(dir.path()).await.unwrap_err();
    assert!(failure.to_string().contains("container"), "{failure}");
    let left = [
        "/containers/a",
        "/images/debian:12",
        "/networks/n",
        "/volumes/hung",
    ];
    assert_eq!(engine.left(), left);
    // Its files may be in use; those of the others are removed first, as deep as they are.
    assert!(dir.path().join("hung/deep").exists());
    assert!(!dir.path().join("free").exists());

    engine.hang(&[]);
    engine.remove(dir.path()).await.unwrap();
    assert_eq!(engine.left(), ["/images/debian:12"]);
}

#[tokio::test]
async fn a_removal_that_another_client_began_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let engine = StandIn {
        is_removing: Some("/containers/a"),
        ..StandIn::with_three_containers(dir.path())
    };
    engine.remove(dir.path()).await.unwrap();
    assert_eq!(engine.left(), ["/images/debian:12"]);
}

#[test]
fn images_that_only_a_workspace_uses_are_known_by_their_names() {
    let workspace = "ws-1".parse().unwrap();
    for (name, own) in [
        ("hearth-ws-1:2", true),
        ("hearth-ws-1-app:latest", true),
        ("hearth-ws-1_app:latest", true),
        ("hearth-ws-1.app:latest", true),
        ("hearth-ws-12:1", false),
        ("hearth-ws-1-registry:5000/a:b", false),
        ("hearth-cache:aa", false),
        ("debian:12", false),
    ] {
        assert_eq!(is_image_of(name, &workspace), own, "{name}");
    }
}
