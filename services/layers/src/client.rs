use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hearth_domain::{Digest, DigestError, Login, is_loopback};
use oci_spec::{
    distribution::Reference,
    image::{Descriptor, ImageIndex, ImageManifest},
};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::{
    RegistryError,
    access::{ANSWER_TIMEOUT, Access, read_body},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An attempt's questions come in bursts. Servers and load balancers close idle connections after a minute or later,
/// and a request that meets the closing would fail.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections to one registry.
const MAX_IDLE: usize = 4;
/// Bytes that a registry has to accept of a manifest (OCI distribution spec, "Pushing Manifests"); more are rare.
pub(crate) const MAX_MANIFEST: usize = 4 * 1024 * 1024;
/// Bytes of a configuration. They have some KiB.
pub(crate) const MAX_CONFIG: usize = 4 * 1024 * 1024;

/// The connections to registries. They stay open for a while after a question, for the next one. Logins go with each
/// request and are not kept. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Registries {
    /// Building a client fails where the machine's certificates cannot be read; each question then says so.
    http: Result<reqwest::Client, RegistryError>,
}

impl Default for Registries {
    fn default() -> Self {
        let http = reqwest::Client::builder()
            .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            // They are followed where the login can be left out.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self {
            http: http.map_err(RegistryError::from),
        }
    }
}

impl Registries {
    /// A client that logs in where `login` fits, for images of `platform` (`os/architecture`).
    pub fn client(&self, login: Option<Login>, platform: impl Into<String>) -> RegistryClient {
        RegistryClient {
            registries: self.clone(),
            login,
            platform: platform.into(),
            mirror: None,
        }
    }
}

/// Asks registries about images. Loopback registries are asked without TLS, as Docker does.
pub struct RegistryClient {
    registries: Registries,
    login: Option<Login>,
    platform: String,
    /// What is asked in place of the registry that an image names.
    mirror: Option<Url>,
}

/// An image as a registry describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Digest of the manifest, or of the index when the reference names one.
    pub digest: Digest,
    /// Compressed bytes of configuration and layers together, as stored.
    pub bytes: u64,
    /// Compressed bytes of each layer, by its digest.
    pub layers: BTreeMap<String, u64>,
}

impl ImageInfo {
    /// Bytes of the layers that are not `present`, where each is given by the first hex digits of its digest.
    pub fn bytes_without(&self, present: &BTreeSet<String>) -> u64 {
        let is_present = |digest: &str| {
            let hex = digest.trim_start_matches("sha256:");
            present
                .iter()
                .any(|beginning| !beginning.is_empty() && hex.starts_with(beginning))
        };
        self.layers
            .iter()
            .filter(|(digest, _)| !is_present(digest))
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// Everything that says what an image is and for whom, read from one manifest and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDescription {
    /// Digest and sizes.
    pub info: ImageInfo,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `os/architecture`, as the configuration says.
    pub platform: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    Image(Box<ImageManifest>),
    Index(Box<ImageIndex>),
}

/// What the name of an image stands for, on the client's platform.
pub(crate) struct Found {
    pub access: Access,
    /// Of the index where there is one.
    pub digest: Digest,
    pub manifest: Box<ImageManifest>,
    /// The manifest as the registry has it, after the index where there is one.
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "images are fetched with an engine")
    )]
    pub bodies: Vec<Vec<u8>>,
}

/// What of an image's configuration says for whom it is.
#[derive(Deserialize)]
struct Config {
    os: String,
    architecture: String,
}

impl Found {
    fn info(&self) -> ImageInfo {
        let layers: BTreeMap<String, u64> = self
            .manifest
            .layers()
            .iter()
            .map(|layer| (layer.digest().to_string(), layer.size()))
            .collect();
        ImageInfo {
            digest: self.digest.clone(),
            bytes: layers
                .values()
                .fold(self.manifest.config().size(), |sum, bytes| {
                    sum.saturating_add(*bytes)
                }),
            layers,
        }
    }

    pub fn annotations(&self) -> BTreeMap<String, String> {
        let annotations = self.manifest.annotations().clone().unwrap_or_default();
        annotations.into_iter().collect()
    }

    pub async fn config(&self, image: &str) -> Result<String, RegistryError> {
        let digest = self.manifest.config().digest().to_string();
        let digest: Digest = digest.parse().map_err(bad_digest)?;
        let config = in_time(async {
            let path = format!("blobs/{digest}");
            let blob = self.access.send(Method::GET, &path).await?;
            read_body(blob, MAX_CONFIG).await
        })
        .await?;
        if Digest::of(&config) != digest {
            return Err(RegistryError::Protocol(format!(
                "the configuration of {image} is not the one that its manifest names"
            )));
        }
        String::from_utf8(config).map_err(|error| RegistryError::Protocol(error.to_string()))
    }
}

impl RegistryClient {
    /// A client with connections of its own. Where more than one question is asked, take [`Registries::client`].
    pub fn new(login: Option<Login>, platform: impl Into<String>) -> Self {
        Registries::default().client(login, platform)
    }

    /// The same for a mirror of the registry, without a login: that is the registry's.
    #[cfg(feature = "engine")]
    pub(crate) fn at_mirror(&self, mirror: Url) -> Self {
        let client = self.registries.client(None, &*self.platform);
        Self {
            mirror: Some(mirror),
            ..client
        }
    }

    /// The digest that `image` stands for now: of its index where it has one.
    pub async fn digest(&self, image: &str) -> Result<Digest, RegistryError> {
        in_time(async {
            let (access, reference) = self.log_in(image, "pull").await?;
            let path = manifest_path(&reference);
            let answer = access.send(Method::HEAD, &path).await?;
            let digest = answer.headers().get("docker-content-digest");
            let digest = match digest.and_then(|digest| digest.to_str().ok()) {
                Some(digest) => digest.parse().map_err(bad_digest)?,
                None => {
                    let answer = access.send(Method::GET, &path).await?;
                    Digest::of(read_body(answer, MAX_MANIFEST).await?)
                }
            };
            check_digest(&reference, digest)
        })
        .await
    }

    /// What the registry knows of `image`, for the client's platform.
    pub async fn inspect(&self, image: &str) -> Result<ImageInfo, RegistryError> {
        self.find(image).await.map(|found| found.info())
    }

    /// What `image` is, for the client's platform.
    pub async fn describe(&self, image: &str) -> Result<ImageDescription, RegistryError> {
        let found = self.find(image).await?;
        let config: Config = serde_json::from_str(&found.config(image).await?).map_err(|_| {
            RegistryError::Protocol(format!("the configuration of {image} has an unknown form"))
        })?;
        Ok(ImageDescription {
            info: found.info(),
            annotations: found.annotations(),
            platform: format!("{}/{}", config.os, config.architecture),
        })
    }

    /// The digest of a part of `image` (configuration or layer) that the registry has lost; `None`: it has all of them.
    pub async fn lost_part(&self, image: &str) -> Result<Option<String>, RegistryError> {
        let Found {
            access, manifest, ..
        } = self.find(image).await?;
        let layers = manifest.layers().iter();
        for part in layers.chain([manifest.config()]).map(Descriptor::digest) {
            let path = format!("blobs/{part}");
            match in_time(access.send(Method::HEAD, &path)).await {
                Ok(_) => {}
                Err(RegistryError::NotFound(_)) => return Ok(Some(part.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The configuration of `image` as JSON (OCI image spec, "OCI Image Configuration"), for the client's platform.
    pub async fn config(&self, image: &str) -> Result<String, RegistryError> {
        self.find(image).await?.config(image).await
    }

    /// The annotations of the manifest of `image`.
    pub async fn annotations(
        &self,
        image: &str,
    ) -> Result<BTreeMap<String, String>, RegistryError> {
        self.find(image).await.map(|found| found.annotations())
    }

    /// Logs in to where `image` is, for `actions` on its repository.
    pub(crate) async fn log_in(
        &self,
        image: &str,
        actions: &str,
    ) -> Result<(Access, Reference), RegistryError> {
        let reference: Reference = image
            .parse()
            .map_err(|_| RegistryError::BadReference(image.to_owned()))?;
        let http = self.registries.http.as_ref().map_err(Clone::clone)?;
        let login = self.login.as_ref();
        let login = login.filter(|login| login.host == reference.registry());
        let base = base(&reference, self.mirror.as_ref());
        let base = base.ok_or_else(|| RegistryError::BadReference(image.to_owned()))?;
        // Boxed: it is in the futures of all questions.
        let access = Box::pin(Access::log_in(
            http, image, &reference, base, login, actions,
        ));
        Ok((access.await?, reference))
    }

    pub(crate) async fn find(&self, image: &str) -> Result<Found, RegistryError> {
        let (access, reference, digest, body) = in_time(async {
            let (access, reference) = self.log_in(image, "pull").await?;
            let (digest, body) = get_manifest(&access, &reference).await?;
            Ok((access, reference, digest, body))
        })
        .await?;
        let mut found = manifest(image, &body)?;
        let mut bodies = vec![body];
        if let Manifest::Index(index) = &found {
            let entry = index.manifests().iter().find(|entry| self.is_ours(entry));
            let entry = entry
                .ok_or_else(|| RegistryError::NotFound(format!("{image} for {}", self.platform)))?;
            let reference = reference.clone_with_digest(entry.digest().to_string());
            let (_, body) = in_time(get_manifest(&access, &reference)).await?;
            found = manifest(image, &body)?;
            bodies.push(body);
        }
        match found {
            Manifest::Image(manifest) => Ok(Found {
                access,
                digest,
                manifest,
                bodies,
            }),
            Manifest::Index(_) => Err(RegistryError::Protocol(format!(
                "{image} is an index of indexes"
            ))),
        }
    }

    fn is_ours(&self, entry: &Descriptor) -> bool {
        entry.platform().as_ref().is_some_and(|platform| {
            format!("{}/{}", platform.os(), platform.architecture()) == self.platform
        })
    }
}

/// Where a registry has its `…/v2/`, or its mirror.
fn base(reference: &Reference, mirror: Option<&Url>) -> Option<Url> {
    let registry = reference.resolve_registry();
    let base = match mirror {
        Some(mirror) => format!("{}/v2/", mirror.as_str().trim_end_matches('/')),
        None if is_loopback(registry) => format!("http://{registry}/v2/"),
        None => format!("https://{registry}/v2/"),
    };
    Url::parse(&base).ok()
}

/// A manifest as the registry has it, and its digest.
pub(crate) async fn get_manifest(
    access: &Access,
    reference: &Reference,
) -> Result<(Digest, Vec<u8>), RegistryError> {
    let answer = access.send(Method::GET, &manifest_path(reference)).await?;
    let body = read_body(answer, MAX_MANIFEST).await?;
    Ok((check_digest(reference, Digest::of(&body))?, body))
}

fn manifest(image: &str, body: &[u8]) -> Result<Manifest, RegistryError> {
    serde_json::from_slice(body).map_err(|_| {
        RegistryError::Protocol(format!("the manifest of {image} has an unknown form"))
    })
}

pub(crate) fn manifest_path(reference: &Reference) -> String {
    let name = reference.digest().or(reference.tag());
    format!("manifests/{}", name.unwrap_or_default())
}

/// An image that is asked for by its digest has to have it.
pub(crate) fn check_digest(reference: &Reference, digest: Digest) -> Result<Digest, RegistryError> {
    match reference.digest() {
        Some(wanted) if wanted != digest.as_str() => Err(RegistryError::Protocol(format!(
            "it sends {digest} for {reference}"
        ))),
        _ => Ok(digest),
    }
}

pub(crate) fn bad_digest(error: DigestError) -> RegistryError {
    RegistryError::Protocol(error.to_string())
}

/// Several requests that belong to one question have one limit.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Err(RegistryError::Unreachable(format!(
                "no answer within {seconds} s"
            )))
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
