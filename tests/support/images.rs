//! An OCI registry in this process, for tests without engines: images are put into it, and it serves them like a real one
//! that lets nobody push.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request, Response, StatusCode},
};
use hearth_domain::{CacheKey, Digest, annotation};
use tokio::{net::TcpListener, sync::oneshot};

/// An image's manifest and configuration; its one layer is not there, but has a size.
#[derive(Clone, Debug)]
pub struct Image {
    pub manifest: String,
    pub config: String,
}

impl Image {
    /// An image for linux/amd64 that differs from others by its `content`.
    pub fn new(content: &str, bytes: u64, annotations: &[(&str, &str)]) -> Self {
        Self::on("amd64", content, bytes, annotations)
    }

    /// An image that says that it was built for a key.
    pub fn of_key(content: &str, bytes: u64, key: &CacheKey) -> Self {
        let manifest = key.manifest_digest();
        let annotations = [
            (annotation::KEY, key.as_str()),
            (annotation::MANIFEST_DIGEST, manifest.as_str()),
        ];
        Self::new(content, bytes, &annotations)
    }

    /// An image for another architecture.
    pub fn on(architecture: &str, content: &str, bytes: u64, annotations: &[(&str, &str)]) -> Self {
        let config = serde_json::json!({"os": "linux", "architecture": architecture}).to_string();
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(&config).to_string(),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
                "digest": Digest::of(content).to_string(),
                "size": bytes.saturating_sub(config.len() as u64),
            }],
            "annotations": annotations,
        });
        Self {
            manifest: manifest.to_string(),
            config,
        }
    }

    /// Digest of the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    fn parts(&self) -> BTreeSet<String> {
        let manifest: serde_json::Value = serde_json::from_str(&self.manifest).expect("JSON");
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let all = layers.chain([&manifest["config"]]);
        let digests = all.filter_map(|part| part["digest"].as_str().map(str::to_owned));
        digests.collect()
    }
}

#[derive(Default)]
struct Contents {
    /// By `path@digest`.
    images: BTreeMap<String, Image>,
    /// Digests by `path:tag`.
    tags: BTreeMap<String, Digest>,
    /// Configurations by their digests.
    configs: BTreeMap<String, String>,
    /// Digests of all parts of all images.
    blobs: BTreeSet<String>,
    is_down: bool,
    deletes: bool,
}

/// The registry. It ends when it is dropped.
pub struct Images {
    address: SocketAddr,
    contents: Arc<Mutex<Contents>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Images {
    fn default() -> Self {
        let contents: Arc<Mutex<Contents>> = Arc::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let contents = contents.clone();
            move || run(listener, contents, stopped)
        });
        Self {
            address,
            contents,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Images {
    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Puts an image into `repository` (`host/path`).
    pub fn put(&self, repository: &str, image: &Image) -> Digest {
        let digest = image.digest();
        let mut contents = self.contents();
        let path = path_of(repository);
        contents.blobs.extend(image.parts());
        let config = Digest::of(&image.config).to_string();
        contents.configs.insert(config, image.config.clone());
        let name = format!("{path}@{digest}");
        contents.images.insert(name, image.clone());
        digest
    }

    /// Puts an image into `repository` under a tag.
    pub fn tag(&self, repository: &str, tag: &str, image: &Image) -> Digest {
        let digest = self.put(repository, image);
        let name = format!("{}:{tag}", path_of(repository));
        self.contents().tags.insert(name, digest.clone());
        digest
    }

    /// The image is gone.
    pub fn lose(&self, repository: &str, digest: &Digest) {
        let name = format!("{}@{digest}", path_of(repository));
        self.contents().images.remove(&name);
    }

    /// The image is there, and none of its layers.
    pub fn lose_layers(&self, repository: &str, digest: &Digest) {
        let name = format!("{}@{digest}", path_of(repository));
        let mut contents = self.contents();
        let parts = contents.images[&name].parts();
        contents.blobs.retain(|blob| !parts.contains(blob));
    }

    /// `host/path:tag` or `host/path@digest`.
    pub fn find(&self, name: &str) -> Option<Image> {
        let contents = self.contents();
        let name = path_of(name);
        match name.split_once('@') {
            Some(_) => contents.images.get(name).cloned(),
            None => {
                let (path, _) = name.split_once(':')?;
                let name = format!("{path}@{}", contents.tags.get(name)?);
                contents.images.get(&name).cloned()
            }
        }
    }

    /// Whether any repository has the image.
    pub fn has(&self, digest: &Digest) -> bool {
        let suffix = format!("@{digest}");
        let contents = self.contents();
        contents.images.keys().any(|name| name.ends_with(&suffix))
    }

    /// From now on every answer is 503, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.contents().is_down = is_down;
    }

    /// Lets images be deleted, which it does not at first.
    pub fn let_delete(&self) {
        self.contents().deletes = true;
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no request panics")
    }
}

/// What follows the host.
fn path_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(_, path)| path)
}

fn run(
    listener: std::net::TcpListener,
    contents: Arc<Mutex<Contents>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a socket");
        let app = Router::new().fallback(handle).with_state(contents);
        tokio::select! {
            served = axum::serve(listener, app) => served.expect("the socket stays"),
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn handle(
    State(contents): State<Arc<Mutex<Contents>>>,
    request: Request<Body>,
) -> Response<Body> {
    let mut contents = contents.lock().expect("no request panics");
    if contents.is_down {
        return answer(StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let path = request.uri().path();
    if path == "/v2/" {
        return answer(StatusCode::OK, String::new());
    }
    let path = path.trim_start_matches("/v2/");
    if let Some((_, digest)) = path.split_once("/blobs/") {
        let there = contents.blobs.contains(digest);
        let blob = contents.configs.get(digest).cloned();
        return match there {
            true => answer(StatusCode::OK, blob.unwrap_or_default()),
            false => answer(StatusCode::NOT_FOUND, String::new()),
        };
    }
    let Some((path, name)) = path.split_once("/manifests/") else {
        return answer(StatusCode::NOT_FOUND, String::new());
    };
    let digest = match name.contains(':') {
        true => Some(name.to_owned()),
        false => {
            let tag = contents.tags.get(&format!("{path}:{name}"));
            tag.map(Digest::to_string)
        }
    };
    let image = format!("{path}@{}", digest.unwrap_or_default());
    if request.method() == Method::DELETE {
        if !contents.deletes {
            return answer(StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        return match contents.images.remove(&image) {
            Some(gone) => {
                let (path, gone) = (format!("{path}:"), gone.digest());
                let is_of =
                    |name: &String, digest: &Digest| name.starts_with(&path) && *digest == gone;
                contents.tags.retain(|name, digest| !is_of(name, digest));
                answer(StatusCode::ACCEPTED, String::new())
            }
            None => answer(StatusCode::NOT_FOUND, String::new()),
        };
    }
    match contents.images.get(&image) {
        Some(image) => answer(StatusCode::OK, image.manifest.clone()),
        None => answer(StatusCode::NOT_FOUND, String::new()),
    }
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer
}
