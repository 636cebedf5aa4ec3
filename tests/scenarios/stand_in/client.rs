//! A client of a guarded registry that makes each request itself.

use hearth_tests::{
    GitHub, Registry,
    curl::{Answer, Request},
};
use serde_json::json;

use super::github;

/// An empty configuration is a blob that needs no further bytes.
const EMPTY: &str = "{}";
pub const EMPTY_DIGEST: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub struct World {
    // Dropped in this order: the registry asks GitHub.
    pub registry: Registry,
    /// Where it is asked.
    pub host: String,
    pub github: GitHub,
    _dir: tempfile::TempDir,
}

pub async fn world() -> World {
    let (github, dir) = github().await;
    let registry = Registry::start_guarded(dir.path().join("registry"), &github);
    World {
        host: registry.host(),
        registry,
        github,
        _dir: dir,
    }
}

impl World {
    /// Where hearth keeps the cache of `acme/shop`: with a hash, since the stand-in's address has a port.
    pub fn cache_path(&self) -> String {
        let registry = self.registry.host().parse().unwrap();
        let repository = self.github.clone_url("acme/shop").parse().unwrap();
        let reference = hearth_domain::CacheReference::new(&registry, &repository, None).unwrap();
        let path = reference
            .repository()
            .as_str()
            .split_once('/')
            .unwrap()
            .1
            .to_owned();
        assert!(path.contains("/acme/shop-"), "{path}");
        path
    }

    /// Asks the registry as a client does: first without a token, then with one for what the challenge names.
    pub async fn ask(
        &self,
        password: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let request = |url: &str| {
            let request = Request::new(method, url)
                .header(&format!("Content-Type: {MANIFEST}"))
                .header(&format!("Accept: {MANIFEST}"));
            if body.is_empty() {
                request
            } else {
                request.body(body)
            }
        };
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("http://{}/v2/{path}", self.host)
        };
        let challenged = request(&url).send().await;
        assert_eq!(challenged.status, 401, "{challenged:?}");
        let token = self.answer_challenge(&challenged, password).await;
        match token {
            Ok(token) => request(&url).bearer(&token).send().await,
            Err(refusal) => refusal,
        }
    }

    async fn answer_challenge(
        &self,
        challenged: &Answer,
        password: Option<&str>,
    ) -> Result<String, Answer> {
        let field = |name: &str| {
            let header = &challenged.headers["www-authenticate"];
            let rest = header.split_once(&format!("{name}=\"")).expect(name).1;
            rest.split('"').next().unwrap().to_owned()
        };
        assert_eq!(field("realm"), format!("{}/token", self.github.url()));
        let url = format!(
            "{}?service={}&scope={}",
            field("realm"),
            field("service"),
            field("scope")
        );
        let mut request = Request::new("GET", &url);
        if let Some(password) = password {
            request = request.login("x-access-token", password);
        }
        let answer = request.send().await;
        if answer.status != 200 {
            return Err(answer);
        }
        Ok(answer.json()["token"].as_str().unwrap().to_owned())
    }

    /// Pushes a manifest, and returns the status of what was refused, or of the end.
    pub async fn push(&self, password: &str, repository: &str) -> u16 {
        let begun = self.begin_push(password, repository).await;
        if begun.status != 202 {
            return begun.status;
        }
        let place = format!("{}&digest={EMPTY_DIGEST}", begun.headers["location"]);
        let stored = self.ask(Some(password), "PUT", &place, EMPTY).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": EMPTY_DIGEST,
                "size": EMPTY.len(),
            },
            "layers": [],
        });
        let path = format!("{repository}/manifests/1");
        self.ask(Some(password), "PUT", &path, &manifest.to_string())
            .await
            .status
    }

    pub async fn begin_push(&self, password: &str, repository: &str) -> Answer {
        let uploads = format!("{repository}/blobs/uploads/");
        self.ask(Some(password), "POST", &uploads, "").await
    }

    pub async fn pull(&self, password: Option<&str>, repository: &str) -> Answer {
        let path = format!("{repository}/manifests/1");
        self.ask(password, "GET", &path, "").await
    }
}
