//! A registry in memory, and what is signed in it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hearth_api::v1::resolve_cache_response::Decision;
use hearth_domain::{Digest, KeyManifest, Login};
use hearth_layers::{Artifact, RegistryClient};
use hearth_signatures::{BUNDLE_TYPE, CLAIM_TYPE, Claim, LocalKey, Signer as _};
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
    start::with_agent,
};

/// An image manifest whose annotations say which key it was built for.
pub fn image(manifest: &KeyManifest) -> String {
    let key = manifest.key();
    let (hex, config) = (key.manifest_digest(), Digest::of(CONFIG));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":5}},"layers":[],"annotations":{{"dev.hearth.key":"{key}","dev.hearth.manifest-digest":"{hex}"}}}}"#
    )
}

/// The configuration of all images.
pub const CONFIG: &str = r#"{"os":"linux","architecture":"amd64"}"#;

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
struct Held(Arc<Mutex<HashMap<String, Body>>>);

impl Held {
    fn put(&self, path: String, media_type: &str, body: &[u8]) {
        self.0
            .lock()
            .insert(path, (media_type.to_owned(), body.to_vec()));
    }
}

impl Respond for Held {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        match request.method.as_str() {
            "GET" | "HEAD" => match self.0.lock().get(&path) {
                Some((media_type, body)) => {
                    ResponseTemplate::new(200).set_body_raw(body.clone(), media_type)
                }
                None => ResponseTemplate::new(404),
            },
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
        let registry = Self { server, held };
        registry.configures(CONFIG);
        registry
    }

    /// Has this as the configuration of all images.
    pub fn configures(&self, config: &str) {
        let path = format!("/v2/acme/shop/blobs/{}", Digest::of(CONFIG));
        self.held
            .put(path, "application/octet-stream", config.as_bytes());
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
    pub fn has(&self, image: &str) -> Digest {
        let digest = Digest::of(image);
        self.named(digest.as_str(), image);
        digest
    }

    fn named(&self, name: &str, image: &str) {
        let path = format!("/v2/acme/shop/manifests/{name}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        self.held.put(path, media_type, image.as_bytes());
    }

    /// Has an image under the tag of a key.
    pub fn holds(&self, key: &KeyManifest, image: &str) -> Digest {
        self.named(&format!("devcontainer-cache-k{}", key.key().short()), image);
        self.has(image)
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
        let held = self.held.0.lock();
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
        let requests = self.server.received_requests().await.expect("a record");
        let deletions = requests
            .iter()
            .filter(|request| request.method.as_str() == "DELETE");
        let digest = |request: &Request| {
            let path = request.url.path();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        deletions.map(digest).collect()
    }

    pub async fn resolve(&self, plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
        cache::resolve(plane, id, &self.repository(), manifest).await
    }

    pub async fn commit(&self, plane: &Plane, id: &str, manifest: &KeyManifest, image: &str) {
        let entry = cache::entry(&self.repository(), manifest, image);
        let committed = cache::commit(plane, id, 1, entry).await;
        committed.expect("a commit");
    }
}
