//! A registry in this process that images are pushed to, as strict as the OCI distribution spec, and with faults.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Method, Request, Response, header, response::Builder},
};
use hearth_domain::Digest;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::server::serve;

/// What is wrong, or special, with uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection of each third chunk ends after half of it, which it has.
    Cuts,
    /// So many requests are refused by 429 or 503.
    Busy(usize),
    /// Uploads go on at a URL of another host, which gets no login.
    Elsewhere,
    /// Requests with parts are moved on by 307.
    Moves,
    /// Parts are refused.
    WholeOnly,
    /// Parts have at least so many bytes.
    AtLeast(usize),
    /// As `Elsewhere`, and the other host refuses them.
    RefusedElsewhere,
    /// It forgets one upload in the middle.
    Forgets,
    /// It keeps half of the first part.
    KeepsHalf,
    /// It keeps nothing of any part.
    KeepsNothing,
    /// It says to have stored something else.
    SaysOther,
    /// It says so of the image's manifest.
    SaysOtherManifest,
    /// Uploads are refused.
    Denied,
    /// The login ends once in the middle.
    LoginEnds,
}

#[derive(Default)]
struct Contents {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
    uploads: HashMap<String, Vec<u8>>,
    fault: Option<Fault>,
    requests: Vec<String>,
    /// Bodies of requests with bytes of blobs.
    parts: usize,
    bytes: usize,
    told_login: bool,
    wants_login: bool,
}

pub struct Receiver {
    address: SocketAddr,
    contents: Arc<Mutex<Contents>>,
    _stop: oneshot::Sender<()>,
}

impl Receiver {
    pub fn start(fault: Fault) -> Self {
        let contents: Arc<Mutex<Contents>> = Arc::default();
        contents.lock().fault = Some(fault);
        let app = Router::new().fallback(handle);
        let (address, stop) = serve(app.with_state(contents.clone()));
        Self {
            address,
            contents,
            _stop: stop,
        }
    }

    pub fn repository(&self) -> String {
        format!("{}/a/b", self.host())
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub fn guard(&self) {
        self.contents().wants_login = true;
    }

    pub fn told_login(&self) -> bool {
        self.contents().told_login
    }

    /// Lines of the requests so far, which are forgotten.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.contents().requests)
    }

    /// Uploads that were begun and have not ended.
    pub fn uploads(&self) -> usize {
        self.contents().uploads.len()
    }

    /// Bytes of blobs that arrived so far.
    pub fn bytes(&self) -> usize {
        self.contents().bytes
    }

    pub fn manifest(&self, tag: &str) -> Option<Value> {
        let contents = self.contents();
        let manifest = contents.manifests.get(tag)?;
        Some(serde_json::from_slice(manifest).unwrap())
    }

    pub fn blob(&self, digest: &Value) -> Vec<u8> {
        self.contents().blobs[digest.as_str().unwrap()].clone()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock()
    }
}

fn answer(status: u16) -> Builder {
    Response::builder().status(status)
}

fn empty(answer: Builder) -> Response<Body> {
    answer.body(Body::empty()).unwrap()
}

async fn handle(
    State(state): State<Arc<Mutex<Contents>>>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut contents = state.lock();
    let contents = &mut *contents;
    let fault = contents.fault.unwrap();
    let path = head.uri.path().to_owned();
    let host = head.headers[header::HOST].to_str().unwrap().to_owned();
    let has_login = head.headers.contains_key(header::AUTHORIZATION);
    let is_elsewhere = host.starts_with("127.");
    contents.requests.push(format!("{} {path}", head.method));
    contents.told_login |= is_elsewhere && has_login;
    if contents.wants_login && !has_login && !is_elsewhere {
        return empty(answer(401).header(header::WWW_AUTHENTICATE, "Basic realm=\"x\""));
    }
    if path == "/v2/" {
        return empty(answer(200));
    }
    let name = path.rsplit('/').next().unwrap().to_owned();
    if let Fault::Busy(left @ 1..) = fault {
        contents.fault = Some(Fault::Busy(left - 1));
        let status = if left.is_multiple_of(2) { 503 } else { 429 };
        return empty(answer(status).header(header::RETRY_AFTER, "0"));
    }
    if head.method == Method::GET && !path.contains("/uploads/") && !is_elsewhere {
        let held = contents.manifests.get(&name).or(contents.blobs.get(&name));
        return match held {
            Some(body) => answer(200).body(Body::from(body.clone())).unwrap(),
            None => empty(answer(404)),
        };
    }
    if path.contains("/manifests/") {
        let digest = Digest::of(&body).to_string();
        let said = match fault {
            Fault::SaysOtherManifest if name == "key" => Digest::of("other").to_string(),
            _ => digest.clone(),
        };
        for name in [name, digest] {
            contents.manifests.insert(name, body.to_vec());
        }
        return empty(answer(201).header("docker-content-digest", said));
    }
    if head.method == Method::DELETE {
        let was = contents.uploads.remove(&name);
        return empty(answer(if was.is_some() { 204 } else { 404 }));
    }
    if head.method == Method::HEAD {
        return match contents.blobs.get(&name) {
            Some(blob) => empty(answer(200).header(header::CONTENT_LENGTH, blob.len())),
            None => empty(answer(404)),
        };
    }
    if head.method == Method::POST {
        if fault == Fault::Denied {
            let why = r#"{"errors":[{"code":"DENIED","message":"not you"}]}"#;
            return answer(403).body(Body::from(why)).unwrap();
        }
        let id = format!("{}", contents.requests.len());
        contents.uploads.insert(id.clone(), Vec::new());
        let place = match fault {
            Fault::Elsewhere | Fault::RefusedElsewhere => {
                format!(
                    "http://{}/elsewhere/{id}?x=1",
                    host.replace("localhost", "127.0.0.1")
                )
            }
            _ => format!("/v2/a/b/blobs/uploads/{id}?x=1"),
        };
        let begun = answer(202).header(header::LOCATION, place);
        return empty(match fault {
            Fault::AtLeast(least) => begun.header("OCI-Chunk-Min-Length", least),
            _ => begun,
        });
    }
    // An upload that goes on. Its place has a query, which has to stay.
    assert!(head.uri.query().unwrap().starts_with("x=1"));
    if fault == Fault::RefusedElsewhere {
        return empty(answer(403));
    }
    contents.parts += 1;
    let part = contents.parts;
    if fault == Fault::Forgets && part == 2 {
        contents.uploads.clear();
    }
    let Some(upload) = contents.uploads.get_mut(&name) else {
        return empty(answer(404));
    };
    let has = |upload: &[u8]| format!("0-{}", upload.len().saturating_sub(1));
    if head.method == Method::GET {
        return empty(answer(204).header(header::RANGE, has(upload)));
    }
    if head.method == Method::PUT {
        if fault == Fault::LoginEnds && part == 3 {
            return empty(answer(401));
        }
        let mut blob = contents.uploads.remove(&name).unwrap();
        blob.extend_from_slice(&body);
        contents.bytes += body.len();
        let digest = Digest::of(&blob).to_string();
        let query = head.uri.query().unwrap().replace("%3A", ":");
        assert_eq!(query, format!("x=1&digest={digest}"));
        contents.blobs.insert(digest.clone(), blob);
        let said = match fault {
            Fault::SaysOther => Digest::of("other").to_string(),
            _ => digest,
        };
        return empty(answer(201).header("docker-content-digest", said));
    }
    assert_eq!(head.method, Method::PATCH);
    if fault == Fault::WholeOnly {
        return empty(answer(405));
    }
    if fault == Fault::Moves && !head.uri.query().unwrap().contains("moved") {
        return empty(answer(307).header(header::LOCATION, format!("{path}?x=1&moved=1")));
    }
    let range = head.headers[header::CONTENT_RANGE].to_str().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last + 1 - first, body.len());
    if first != upload.len() {
        return empty(answer(416).header(header::RANGE, has(upload)));
    }
    let kept = match fault {
        Fault::Cuts if part.is_multiple_of(3) => {
            upload.extend_from_slice(&body[..body.len() / 2]);
            // The connection ends.
            std::panic::resume_unwind(Box::new(()));
        }
        Fault::KeepsHalf if part == 1 => body.len() / 2,
        Fault::KeepsNothing => 0,
        _ => body.len(),
    };
    contents.bytes += kept;
    upload.extend_from_slice(&body[..kept]);
    let taken = answer(202).header(header::RANGE, has(upload));
    empty(taken.header(header::LOCATION, format!("{path}?x=1")))
}
