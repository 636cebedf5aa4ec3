//! A registry in this process that has images of any layers, and fails as it is told. It runs in a thread of its own: tests
//! wait for commands of the engine.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use futures_util::{StreamExt as _, stream};
use hearth_domain::Digest;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::{
    archive::{Encoding, Member, archive},
    server::serve,
};

/// What is wrong with blobs of layers. Only the import sees it, not the engine, which names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Each answer breaks off after so many bytes.
    Cuts(usize),
    /// The whole blob is sent, whatever was asked for, and breaks off once after so many bytes.
    NoRanges(usize),
    /// One byte is another one.
    WrongByte,
    /// It ends too early, and says that this is all.
    Short,
    /// It goes on for too long.
    Long,
    /// So many requests are refused by 429 or 503.
    Busy(usize),
    /// It is sent elsewhere, where no login may be told.
    Elsewhere,
    /// Nothing is sent.
    Hangs,
    /// Bytes come a few at a time.
    Trickles,
    /// Requests after so many wait until there is another fault.
    Holds(usize),
}

#[derive(Default)]
struct Contents {
    blobs: HashMap<String, Bytes>,
    /// With their media types.
    manifests: HashMap<String, (String, Bytes)>,
    layers: Vec<String>,
    fault: Option<Fault>,
    /// Asked for, of layers.
    requests: usize,
    /// Whether a login came where it must not.
    told_login: bool,
    wants_login: bool,
    /// Tells of another fault.
    changed: watch::Sender<()>,
}

pub struct Registry {
    address: SocketAddr,
    contents: Arc<Mutex<Contents>>,
    _stop: oneshot::Sender<()>,
}

/// An image in the registry.
pub struct Image {
    /// `localhost:port/path@digest`.
    pub name: String,
    /// The same without the index.
    pub without_index: String,
    /// The snapshot of its uppermost layer.
    pub chain: String,
    /// Compressed bytes of its layers.
    pub bytes: u64,
}

impl Registry {
    pub fn start() -> Self {
        let contents: Arc<Mutex<Contents>> = Arc::default();
        let app = Router::new().fallback(handle);
        let (address, stop) = serve(app.with_state(contents.clone()));
        Self {
            address,
            contents,
            _stop: stop,
        }
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub fn set(&self, fault: Fault) {
        let mut contents = self.contents();
        contents.fault = Some(fault);
        contents.requests = 0;
        contents.changed.send_replace(());
    }

    /// From now on it answers nobody without a login.
    pub fn guard(&self) {
        self.contents().wants_login = true;
    }

    /// Requests for layers since the fault was set.
    pub fn requests(&self) -> usize {
        self.contents().requests
    }

    pub fn told_login(&self) -> bool {
        self.contents().told_login
    }

    /// Puts an image of these layers, as a member of an index, in which there is one for another machine too.
    pub fn put(&self, path: &str, layers: &[(Encoding, Vec<Member>)]) -> Image {
        let layers = layers
            .iter()
            .map(|(encoding, members)| (*encoding, archive(members)));
        self.put_archives(path, &layers.collect::<Vec<_>>())
    }

    pub fn put_archives(&self, path: &str, layers: &[(Encoding, Vec<u8>)]) -> Image {
        let mut contents = self.contents();
        let (mut descriptors, mut diff_ids, mut chain, mut bytes) =
            (Vec::new(), Vec::new(), None, 0);
        for (encoding, archive) in layers {
            let blob = encoding.encode(archive);
            let (digest, diff_id) = (Digest::of(&blob), Digest::of(archive));
            bytes += blob.len() as u64;
            descriptors.push(descriptor(encoding.media_type(), &blob));
            chain = Some(match chain {
                None => diff_id.clone(),
                Some(below) => Digest::of(format!("{below} {diff_id}")),
            });
            diff_ids.push(diff_id.to_string());
            contents.layers.push(digest.to_string());
            contents.blobs.insert(digest.to_string(), blob.into());
        }
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let config_descriptor = descriptor("application/vnd.oci.image.config.v1+json", &config);
        contents
            .blobs
            .insert(Digest::of(&config).to_string(), config.into());
        let manifest = contents.put_manifest(
            "application/vnd.oci.image.manifest.v1+json",
            json!({"config": config_descriptor, "layers": descriptors}),
            Some("amd64"),
        );
        let without_index = format!(
            "{}/{path}@{}",
            self.host(),
            manifest["digest"].as_str().unwrap()
        );
        let mut other = manifest.clone();
        other["platform"]["architecture"] = "s390x".into();
        other["digest"] = Digest::of("other").to_string().into();
        let index = contents.put_manifest(
            "application/vnd.oci.image.index.v1+json",
            json!({"manifests": [other, manifest]}),
            None,
        );
        Image {
            name: format!(
                "{}/{path}@{}",
                self.host(),
                index["digest"].as_str().unwrap()
            ),
            without_index,
            chain: chain.unwrap().to_string(),
            bytes,
        }
    }

    /// Makes the manifests name another blob as the one layer of an image; its configuration stays. Returns the image.
    pub fn with_other_layer(&self, path: &str, archive: &[u8], other: Vec<u8>) -> Image {
        let image = self.put_archives(path, &[(Encoding::Plain, archive.to_vec())]);
        let (old, new) = (
            Digest::of(archive).to_string(),
            Digest::of(&other).to_string(),
        );
        let mut contents = self.contents();
        let (old_size, new_size) = (
            format!(r#""size":{}"#, archive.len()),
            format!(r#""size":{}"#, other.len()),
        );
        let manifests = contents.manifests.clone();
        let with_layer = manifests
            .values()
            .find(|(_, body)| String::from_utf8_lossy(body).contains(&old));
        let (media_type, body) = with_layer.unwrap().clone();
        let body = String::from_utf8_lossy(&body)
            .replace(&old, &new)
            .replace(&old_size, &new_size);
        let digest = Digest::of(&body).to_string();
        contents
            .manifests
            .insert(digest.clone(), (media_type, body.into()));
        contents.layers.push(new.clone());
        contents.blobs.insert(new, other.into());
        Image {
            name: format!("{}/{path}@{digest}", self.host()),
            ..image
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }
}

impl Contents {
    fn put_manifest(
        &mut self,
        media_type: &str,
        mut manifest: Value,
        architecture: Option<&str>,
    ) -> Value {
        manifest["schemaVersion"] = 2.into();
        manifest["mediaType"] = media_type.into();
        let body = manifest.to_string().into_bytes();
        let mut described = descriptor(media_type, &body);
        if let Some(architecture) = architecture {
            described["platform"] = json!({"os": "linux", "architecture": architecture});
        }
        let digest = Digest::of(&body).to_string();
        self.manifests
            .insert(digest, (media_type.to_owned(), body.into()));
        described
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(content).to_string(),
        "size": content.len(),
    })
}

async fn handle(
    State(state): State<Arc<Mutex<Contents>>>,
    request: Request<Body>,
) -> Response<Body> {
    let mut changes = state.lock().unwrap().changed.subscribe();
    loop {
        match respond(&state, &request) {
            Some(answer) => return answer,
            None => changes.changed().await.unwrap(),
        }
    }
}

/// The answer, if there is one at all.
fn respond(state: &Mutex<Contents>, request: &Request<Body>) -> Option<Response<Body>> {
    let headers = request.headers();
    let path = request.uri().path().to_owned();
    let has_login = headers.contains_key(header::AUTHORIZATION);
    let answer = |status: u16| Response::builder().status(status);
    let mut contents = state.lock().unwrap();
    let is_elsewhere = path.starts_with("/elsewhere/");
    if contents.wants_login && !has_login && !is_elsewhere {
        let wanted = answer(401).header(header::WWW_AUTHENTICATE, "Basic realm=\"x\"");
        return wanted.body(Body::empty()).ok();
    }
    contents.told_login |= is_elsewhere && has_login;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if path.contains("/manifests/") {
        return match contents.manifests.get(&name) {
            None => answer(404).body(Body::empty()).ok(),
            Some((media_type, body)) => answer(200)
                .header(header::CONTENT_TYPE, media_type)
                .header(header::CONTENT_LENGTH, body.len())
                .header("docker-content-digest", &name)
                .body(Body::from(body.clone()))
                .ok(),
        };
    }
    let Some(blob) = contents.blobs.get(&name).cloned() else {
        let status = if path == "/v2/" { 200 } else { 404 };
        return answer(status).body(Body::empty()).ok();
    };
    let is_import = headers
        .get(header::USER_AGENT)
        .is_some_and(|agent| agent.as_bytes().starts_with(b"hearth"));
    let is_layer = is_import && contents.layers.contains(&name);
    let fault = contents.fault.filter(|_| is_layer).unwrap_or(Fault::None);
    contents.requests += usize::from(is_layer);
    let request = contents.requests;
    drop(contents);
    match fault {
        Fault::Hangs => return None,
        Fault::Holds(count) if request > count => return None,
        Fault::Busy(count) if request <= count => {
            let status = if request.is_multiple_of(2) { 503 } else { 429 };
            let busy = answer(status).header(header::RETRY_AFTER, "0");
            return busy.body(Body::empty()).ok();
        }
        Fault::Elsewhere if !is_elsewhere => {
            let host = headers[header::HOST]
                .to_str()
                .unwrap()
                .replace("localhost", "127.0.0.1");
            let place = format!("http://{host}/elsewhere/{name}");
            let moved = answer(307).header(header::LOCATION, place);
            return moved.body(Body::empty()).ok();
        }
        _ => {}
    }
    Some(send(&broken(blob, fault), headers, fault, request))
}

fn broken(blob: Bytes, fault: Fault) -> Bytes {
    let mut bytes = blob.to_vec();
    match fault {
        Fault::WrongByte => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Fault::Short => bytes.truncate(blob.len() - 1),
        Fault::Long => bytes.push(0),
        _ => return blob,
    }
    bytes.into()
}

fn send(blob: &Bytes, headers: &HeaderMap, fault: Fault, request: usize) -> Response<Body> {
    let range = headers.get(header::RANGE).and_then(|range| {
        let (first, last) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let last: usize = last.parse().ok()?;
        Some((first.parse().ok()?, last.min(blob.len() - 1)))
    });
    let range = range.filter(|_| !matches!(fault, Fault::NoRanges(_)));
    let (status, (first, last)) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, (0, blob.len() - 1)),
    };
    let body = blob.slice(first..=last);
    let mut answer = Response::builder()
        .status(status)
        .header(header::CONTENT_LENGTH, body.len());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{last}/{}", blob.len());
        answer = answer.header(header::CONTENT_RANGE, range);
    }
    let at = match fault {
        Fault::Cuts(at) => at,
        Fault::NoRanges(at) if request < 8 => at,
        _ => usize::MAX,
    };
    if fault == Fault::Trickles {
        let pieces: Vec<_> = body.chunks(3000).map(Bytes::copy_from_slice).collect();
        let pieces = stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            Ok::<_, std::io::Error>(piece)
        });
        return answer.body(Body::from_stream(pieces)).unwrap();
    }
    if at >= body.len() {
        return answer.body(Body::from(body)).unwrap();
    }
    let pieces = [Ok(body.slice(..at)), Err(std::io::Error::other("cut"))];
    // What was sent has to arrive before the connection ends.
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    answer.body(Body::from_stream(pieces)).unwrap()
}
