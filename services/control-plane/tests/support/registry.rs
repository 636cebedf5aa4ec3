//! A registry in memory, and what is signed in it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hearth_api::v1::{CacheEntry, resolve_cache_response::Decision};
use hearth_domain::{Digest, KeyManifest, Login};
use hearth_layers::{Artifact, RegistryClient};
use hearth_signatures::{BUNDLE_TYPE, CLAIM_TYPE, COSIGN_TYPE, Claim, LocalKey, Signer as _};
use hearth_tests::images::Image;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{method, path, path_regex},
};

use super::{
    agent::FakeAgent,
    cache,
    plane::{Plane, shop},
    soon,
    start::with_agent,
};

/// An image that says that it was built for this key.
pub fn image(manifest: &KeyManifest) -> Image {
    Image::of_key("an image", cache::BYTES, &manifest.key())
}

/// A signing key in a file of its own.
pub struct SigningKey {
    pub pair: LocalKey,
    file: tempfile::NamedTempFile,
}

impl SigningKey {
    pub fn new() -> Self {
        let pem = LocalKey::generate().expect("a key");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), pem.expose_secret()).expect("a write");
        let pair = LocalKey::from_pem(&pem).expect("a key");
        Self { pair, file }
    }

    /// The control plane's flag for it.
    pub fn flag(&self) -> String {
        format!("--signing-key={}", self.file.path().display())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        let public = format!("{}.pub", self.file.path().display());
        let _ = std::fs::remove_file(public);
    }
}

/// What a control plane says of an image of the ordinary repository.
pub fn claim(registry: &Registry, manifest: &KeyManifest, image: &Digest) -> Claim {
    Claim {
        digest: image.clone(),
        repository: registry.repository().parse().expect("a repository"),
        key: manifest.key(),
        platform: "linux/amd64".parse().expect("a platform"),
        manifest: Some(manifest.clone().into()),
        config: String::new(),
        source: "https://github.com/acme/shop".to_owned(),
        git_ref: "main".to_owned(),
        commit: "c0".repeat(20),
    }
}

/// A body with its media type.
type Body = (String, Vec<u8>);

/// What the registry holds, by path.
#[derive(Clone, Default)]
struct Held {
    bodies: Arc<Mutex<HashMap<String, Body>>>,
    refuses: Arc<AtomicBool>,
}

impl Held {
    fn put(&self, path: String, media_type: &str, body: &[u8]) {
        self.bodies
            .lock()
            .insert(path, (media_type.to_owned(), body.to_vec()));
    }
}

impl Respond for Held {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        match request.method.as_str() {
            "GET" | "HEAD" => match self.bodies.lock().get(&path) {
                Some((media_type, body)) => {
                    ResponseTemplate::new(200).set_body_raw(body.clone(), media_type)
                }
                None => ResponseTemplate::new(404),
            },
            "POST" | "PUT" if self.refuses.load(Ordering::SeqCst) => ResponseTemplate::new(403),
            "POST" => ResponseTemplate::new(202).insert_header("location", "/v2/upload"),
            "PUT" => {
                let digest = request.url.query_pairs().find(|(name, _)| name == "digest");
                let path = match digest {
                    Some((_, digest)) => format!("/v2/acme/shop/blobs/{digest}"),
                    None => path,
                };
                let media_type = request.headers["content-type"].to_str().expect("ASCII");
                self.put(path, media_type, &request.body);
                ResponseTemplate::new(201)
            }
            other => panic!("{other} {path}"),
        }
    }
}

pub struct Registry {
    pub server: MockServer,
    held: Held,
}

impl Registry {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        Mock::given(path("/v2/"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        Self::on(server).await
    }

    pub async fn on(server: MockServer) -> Self {
        let held = Held::default();
        Mock::given(path_regex("^/v2/."))
            .respond_with(held.clone())
            .with_priority(9)
            .mount(&server)
            .await;
        Self { server, held }
    }

    /// Refuses what is pushed from now on, or takes it again.
    pub fn refuse_pushes(&self, refuses: bool) {
        self.held.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Waits until a push has begun.
    pub async fn asked_to_take(&self) {
        let asked = async {
            while self.requests("POST").await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon("a push", asked).await;
    }

    pub fn repository(&self) -> String {
        format!("{}/acme/shop", self.server.address())
    }

    /// A control plane that caches here, a node, and a workspace on it by its id.
    pub async fn workspace(&self, flags: &[&str]) -> (Plane, FakeAgent, String) {
        let registry = format!("--cache-registry={}", self.server.address());
        let (plane, agent) = with_agent(&[&[&*registry], flags].concat()).await;
        let id = plane.prepare(shop()).await.id().to_owned();
        (plane, agent, id)
    }

    /// Has an image.
    pub fn has(&self, image: &Image) -> Digest {
        let digest = image.digest();
        self.named(digest.as_str(), image);
        self.configures(image, &image.config);
        digest
    }

    /// Has this where the configuration of an image is.
    pub fn configures(&self, image: &Image, config: &str) {
        let path = format!("/v2/acme/shop/blobs/{}", Digest::of(&image.config));
        self.held
            .put(path, "application/octet-stream", config.as_bytes());
    }

    fn named(&self, name: &str, image: &Image) {
        let path = format!("/v2/acme/shop/manifests/{name}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        self.held.put(path, media_type, image.manifest.as_bytes());
    }

    /// Has an image under the tag of a key.
    pub fn holds(&self, key: &KeyManifest, image: &Image) -> Digest {
        self.named(&format!("devcontainer-cache-k{}", key.key().short()), image);
        self.has(image)
    }

    /// The image is gone.
    pub fn loses(&self, image: &Digest) {
        let path = format!("/v2/acme/shop/manifests/{image}");
        self.held.bodies.lock().remove(&path);
    }

    /// Attaches a signed claim to an image, as whoever may push can.
    pub async fn attach(&self, image: &Digest, claim: &Claim, key: &LocalKey) {
        let signature = claim.statement().sign(key).await.expect("a signature");
        let bundle = claim.statement().bundle(signature);
        let artifact = Artifact {
            media_type: BUNDLE_TYPE,
            annotations: BTreeMap::from([(
                "dev.sigstore.bundle.predicateType",
                CLAIM_TYPE.to_owned(),
            )]),
            content: bundle.to_json(key.public_key()),
        };
        let image = format!("{}@{image}", self.repository());
        let login = Login {
            host: self.server.address().to_string(),
            username: "robot".into(),
            password: "secret".to_owned().into(),
            expires: None,
        };
        let client = RegistryClient::new(Some(login), "linux/amd64");
        client.attach(&image, &[artifact]).await.expect("a push");
    }

    /// What is attached to an image: the kinds of its statements.
    pub fn attached(&self, image: &Digest) -> Vec<String> {
        let tag = image.as_str().replacen(':', "-", 1);
        let held = self.held.bodies.lock();
        let Some((_, list)) = held.get(&format!("/v2/acme/shop/manifests/{tag}")) else {
            return Vec::new();
        };
        let list: serde_json::Value = serde_json::from_slice(list).expect("JSON");
        let entries = list["manifests"].as_array().expect("a list").iter();
        let kind = |entry: &serde_json::Value| {
            let kind = &entry["annotations"]["dev.sigstore.bundle.predicateType"];
            kind.as_str().expect("a kind").to_owned()
        };
        entries.map(kind).collect()
    }

    pub async fn answers_deletions(&self, code: u16) {
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(code))
            .mount(&self.server)
            .await;
    }

    /// The digests that were asked to be deleted.
    pub async fn deletions(&self) -> Vec<String> {
        let paths = self.requests("DELETE").await.into_iter();
        let digest = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        paths.map(digest).collect()
    }

    /// The paths of requests with this method.
    async fn requests(&self, method: &str) -> Vec<String> {
        let requests = self.server.received_requests().await.expect("a record");
        let meant = requests.iter().filter(|one| one.method.as_str() == method);
        meant.map(|one| one.url.path().to_owned()).collect()
    }

    pub async fn resolve(&self, plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
        cache::resolve(plane, id, &self.repository(), manifest).await
    }

    /// An entry for this image.
    pub fn entry(&self, manifest: &KeyManifest, image: &Image) -> CacheEntry {
        CacheEntry {
            repository: self.repository(),
            ..cache::entry_of(manifest, image)
        }
    }

    /// Pushes and enters an image.
    pub async fn commit(&self, plane: &Plane, id: &str, manifest: &KeyManifest, image: &Image) {
        self.has(image);
        let entry = self.entry(manifest, image);
        let committed = cache::commit(plane, id, 1, entry).await;
        committed.expect("a commit");
    }

    /// Waits until both statements about an image are here.
    pub async fn until_signed(&self, image: &Digest) {
        let signed = async {
            while self.attached(image).len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        soon("its signatures", signed).await;
        let mut kinds = self.attached(image);
        kinds.sort();
        assert_eq!(kinds, [CLAIM_TYPE, COSIGN_TYPE]);
    }
}
