use std::{net::SocketAddr, sync::atomic::AtomicU64};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, Response},
};
use parking_lot::Mutex as Lock;
use tokio::{net::TcpListener, time::Instant};

use super::{step::while_taken, *};

/// What a registry does with uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Takes,
    /// Only as a whole.
    TakesNoParts,
    /// Only as a whole, of which it reads nothing.
    ReadsNothing,
    /// It takes nothing, and says so.
    Refuses,
    /// It never answers to a part.
    Hangs,
    /// Uploads go on at another host, where it never answers to a part.
    HangsElsewhere,
}

struct Registry {
    address: SocketAddr,
    state: Arc<Served>,
}

struct Served {
    way: Way,
    requests: Lock<Vec<String>>,
    /// Whether another host was told a login.
    told: Lock<bool>,
}

impl Registry {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    async fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Served {
            way,
            requests: Lock::default(),
            told: Lock::default(),
        });
        let app = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, state }
    }

    fn count(&self, method: &str) -> usize {
        let requests = self.state.requests.lock();
        let of = requests
            .iter()
            .filter(|request| request.starts_with(method));
        of.count()
    }

    /// Sends a blob of so many bytes, or until it has sent so many parts.
    async fn send(
        &self,
        bytes: usize,
        parts: Option<usize>,
    ) -> (Option<Result<(), RegistryError>>, Left) {
        let host = format!("localhost:{}", self.address.port());
        let login = hearth_domain::Login {
            host: host.clone(),
            username: "robot".to_owned(),
            password: "planted-password".to_owned().into(),
            expires: None,
        };
        let client = RegistryClient::new(Some(login), "");
        let (report, left) = (watch::Sender::new(Transfer::default()), Left::default());
        let name = format!("{host}/a/b:c");
        let blob = Blob::of(vec![7; bytes]);
        let sent = {
            let uploads = Uploads::begin(client, &name, &report, &left).await.unwrap();
            let begun = async {
                let Some(parts) = parts else {
                    return std::future::pending().await;
                };
                while self.count("PATCH") < parts {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                sent = uploads.send(&blob) => Some(sent),
                () = begun => None,
            }
        };
        (sent, left)
    }
}

async fn answer(State(state): State<Arc<Served>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let host = head.headers["host"].to_str().unwrap().to_owned();
    let (is_elsewhere, login) = (host.starts_with("127."), "authorization");
    *state.told.lock() |= is_elsewhere && head.headers.contains_key(login);
    let answer = |status: u16| Response::builder().status(status);
    let empty = |answer: axum::http::response::Builder| answer.body(Body::empty()).unwrap();
    let path = head.uri.path().to_owned();
    if path == "/v2/" {
        let has_login = head.headers.contains_key(login);
        let status = if has_login { 200 } else { 401 };
        return empty(answer(status).header("www-authenticate", "Basic realm=\"x\""));
    }
    let number = {
        let mut requests = state.requests.lock();
        requests.push(format!("{} {path}", head.method));
        requests.len()
    };
    if (state.way, head.method.as_str()) == (Way::ReadsNothing, "PUT") {
        return std::future::pending().await;
    }
    let bytes = to_bytes(body, usize::MAX).await.unwrap().len();
    let way = state.way;
    let moves_on = |place: &str| answer(202).header("location", place);
    empty(match head.method.as_str() {
        "HEAD" => answer(404),
        "POST" if way == Way::HangsElsewhere => {
            let other = host.replace("localhost", "127.0.0.1");
            moves_on(&format!("http://{other}/other/{number}"))
        }
        "POST" => moves_on(&format!("/v2/a/b/blobs/uploads/{number}")),
        "PATCH" if matches!(way, Way::Hangs | Way::HangsElsewhere) => std::future::pending().await,
        "PATCH" if way == Way::Refuses => answer(400),
        "PUT" if way == Way::Refuses => answer(400),
        "PATCH" if matches!(way, Way::TakesNoParts | Way::ReadsNothing) => answer(405),
        "PATCH" => {
            let range = head.headers["content-range"].to_str().unwrap();
            let last = range.split_once('-').unwrap().1.to_owned();
            assert!(bytes > 0);
            moves_on(&format!("{path}/next")).header("range", format!("0-{last}"))
        }
        "PUT" => answer(201),
        _ => answer(204),
    })
}

const LARGE: usize = 9_000_000;

#[tokio::test]
async fn an_upload_that_does_not_end_is_left_and_the_registry_is_told_where_it_was() {
    for (way, bytes, parts, sent, left) in [
        (Way::Takes, LARGE, None, Some(true), 0),
        (Way::Takes, 1000, None, Some(true), 0),
        // It is begun anew, as a whole.
        (Way::TakesNoParts, LARGE, None, Some(true), 1),
        (Way::Refuses, LARGE, None, Some(false), 2),
        (Way::Refuses, 1000, None, Some(false), 1),
        (Way::Hangs, LARGE, Some(1), None, 1),
        (Way::HangsElsewhere, LARGE, Some(1), None, 1),
    ] {
        let registry = Registry::start(way).await;
        let (was, uploads) = registry.send(bytes, parts).await;
        assert_eq!(was.map(|was| was.is_ok()), sent, "{way:?}");
        assert_eq!(registry.count("DELETE"), 0);
        uploads.tell().await;
        let requests = registry.state.requests.lock().clone();
        let of = |method: &str| {
            let all = requests.iter().filter_map(|line| line.split_once(' '));
            let of = all.filter(|(known, _)| *known == method);
            of.map(|(_, path)| path.to_owned()).collect::<Vec<_>>()
        };
        let ends = of("DELETE");
        assert_eq!(ends.len(), left, "{way:?}: {requests:?}");
        // The last one that it was begun at, of those that did not end.
        let places = ["PATCH", "PUT"].map(of).concat();
        assert!(ends.iter().all(|end| places.contains(end)), "{requests:?}");
        assert!(!*registry.state.told.lock(), "{way:?}");
        // Once.
        uploads.tell().await;
        assert_eq!(registry.count("DELETE"), left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_is_sent_as_a_whole_is_given_up_when_nothing_of_it_is_taken() {
    let second = std::time::Duration::from_secs(1);
    // Whether more was taken after so many seconds, and when it ended by itself.
    for (taken_at, ends, is_given_up) in [
        (&[][..], 1000, true),
        (&[10, 20, 30], 1000, true),
        (&[100, 200, 300, 400], 500, false),
        // All of it is there, and is looked at.
        (&[10, 20, 30, 40, 50], 500, false),
        (&[10, 20, 30, 40, 50], 1000, true),
    ] {
        let (taken, began) = (AtomicU64::new(0), Instant::now());
        let taking = async {
            for at in taken_at {
                tokio::time::sleep_until(began + second * *at).await;
                taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            tokio::time::sleep_until(began + second * ends).await;
            Ok(())
        };
        let ended = while_taken(&taken, 5, taking).await;
        assert_eq!(ended.is_err(), is_given_up, "{taken_at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_reads_nothing_does_not_hold_up_a_push() {
    let registry = Registry::start(Way::ReadsNothing).await;
    // More than is on the way between two programs.
    let (sent, _) = registry.send(64 << 20, None).await;
    let error = sent.unwrap().unwrap_err();
    assert!(error.to_string().contains("nothing for 120 s"), "{error}");
}
