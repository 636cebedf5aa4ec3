use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hearth_domain::{Digest, DigestError};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    manifest::{ImageIndexEntry, OciImageManifest, OciManifest},
    secrets::RegistryAuth,
};
use secrecy::{ExposeSecret as _, SecretString};

/// A registry that does not answer must not hold up a workspace: beyond this a question counts as unanswered.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Configurations have some KiB.
const MAX_CONFIG: i64 = 4 * 1024 * 1024;

/// User and password for one registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// `host[:port]`.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
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
    /// Bytes of the layers that are not `present` (beginnings of their digests' hex).
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
            .map(|(_, bytes)| bytes)
            .sum()
    }
}

/// Why a registry's answer is of no use, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is no such image.
    #[error("the registry has no {0}")]
    NotFound(String),
    /// The registry does not know who asks.
    #[error("the registry asks for a login, or does not accept the one it got")]
    LoginFailed,
    /// The registry knows who asks, and refuses.
    #[error("the registry refuses: {0}")]
    Denied(String),
    /// No connection, no answer in time, or a server error.
    #[error("the registry does not answer: {0}")]
    Unreachable(String),
    /// An answer that makes no sense.
    #[error("the registry's answer is not understood: {0}")]
    Protocol(String),
    /// The registry does not let anybody do this.
    #[error("the registry does not offer this")]
    Unsupported,
    /// The text is no image reference.
    #[error("{0:?} is no image reference")]
    BadReference(String),
}

/// Asks registries about images. Loopback registries are asked without TLS, as Docker does.
pub struct RegistryClient {
    login: Option<RegistryLogin>,
    platform: String,
}

impl RegistryClient {
    /// A client that logs in where `login` fits, for images of `platform` (`os/architecture`).
    pub fn new(login: Option<RegistryLogin>, platform: impl Into<String>) -> Self {
        Self {
            login,
            platform: platform.into(),
        }
    }

    /// The digest that `image` stands for now: of its index where it has one.
    pub async fn digest(&self, image: &str) -> Result<Digest, RegistryError> {
        let reference = parse(image)?;
        let client = self.client(&reference);
        let auth = self.auth(&reference);
        let digest = bounded(image, client.fetch_manifest_digest(&reference, &auth)).await?;
        digest
            .parse()
            .map_err(|error: DigestError| RegistryError::Protocol(error.to_string()))
    }

    /// What the registry knows of `image`, for the client's platform.
    pub async fn inspect(&self, image: &str) -> Result<ImageInfo, RegistryError> {
        let (manifest, digest) = self.manifest(image).await?;
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
        let layers: BTreeMap<String, u64> = manifest
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), size(layer.size)))
            .collect();
        Ok(ImageInfo {
            digest: digest
                .parse()
                .map_err(|error: DigestError| RegistryError::Protocol(error.to_string()))?,
            bytes: layers.values().sum::<u64>() + size(manifest.config.size),
            layers,
        })
    }

    /// The configuration of `image` as JSON (OCI image spec, "OCI Image Configuration"), for the client's platform.
    pub async fn config(&self, image: &str) -> Result<String, RegistryError> {
        let (manifest, _) = self.manifest(image).await?;
        if manifest.config.size > MAX_CONFIG {
            return Err(RegistryError::Protocol(format!(
                "the configuration of {image} has {} bytes",
                manifest.config.size
            )));
        }
        let reference = parse(image)?;
        let mut config = Vec::new();
        let client = self.client(&reference);
        bounded(
            image,
            client.pull_blob(&reference, &manifest.config, &mut config),
        )
        .await?;
        String::from_utf8(config).map_err(|error| RegistryError::Protocol(error.to_string()))
    }

    /// The annotations of the manifest of `image`.
    pub async fn annotations(
        &self,
        image: &str,
    ) -> Result<BTreeMap<String, String>, RegistryError> {
        let (manifest, _) = self.manifest(image).await?;
        Ok(manifest.annotations.unwrap_or_default())
    }

    /// The manifest of `image` for the client's platform, and the digest of what its name stands for.
    async fn manifest(&self, image: &str) -> Result<(OciImageManifest, String), RegistryError> {
        let reference = parse(image)?;
        let client = self.client(&reference);
        let auth = self.auth(&reference);
        let (manifest, digest) = bounded(image, client.pull_manifest(&reference, &auth)).await?;
        let index = match manifest {
            OciManifest::Image(manifest) => return Ok((manifest, digest)),
            OciManifest::ImageIndex(index) => index,
        };
        let entry = index
            .manifests
            .iter()
            .find(|entry| self.is_ours(entry))
            .ok_or_else(|| RegistryError::NotFound(format!("{image} for {}", self.platform)))?;
        let reference = reference.clone_with_digest(entry.digest.clone());
        match bounded(image, client.pull_manifest(&reference, &auth)).await? {
            (OciManifest::Image(manifest), _) => Ok((manifest, digest)),
            (OciManifest::ImageIndex(_), _) => Err(RegistryError::Protocol(format!(
                "{image} is an index of indexes"
            ))),
        }
    }

    fn is_ours(&self, entry: &ImageIndexEntry) -> bool {
        entry.platform.as_ref().is_some_and(|platform| {
            format!("{}/{}", platform.os, platform.architecture) == self.platform
        })
    }

    fn client(&self, reference: &Reference) -> Client {
        let registry = reference.resolve_registry();
        Client::new(ClientConfig {
            protocol: if is_loopback(registry) {
                ClientProtocol::HttpsExcept(vec![registry.to_owned()])
            } else {
                ClientProtocol::Https
            },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(ANSWER_TIMEOUT),
            platform_resolver: None,
            ..ClientConfig::default()
        })
    }

    fn auth(&self, reference: &Reference) -> RegistryAuth {
        match self.login_for(reference) {
            Some(login) => RegistryAuth::Basic(
                login.username.clone(),
                login.password.expose_secret().to_owned(),
            ),
            None => RegistryAuth::Anonymous,
        }
    }

    /// The login, if it is for the registry of this image.
    fn login_for(&self, reference: &Reference) -> Option<&RegistryLogin> {
        let login = self.login.as_ref()?;
        (login.registry == reference.registry()).then_some(login)
    }
}

/// Docker reaches registries on loopback without TLS (`insecure-registries` has 127.0.0.0/8 by default).
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn parse(image: &str) -> Result<Reference, RegistryError> {
    image
        .parse()
        .map_err(|_| RegistryError::BadReference(image.to_owned()))
}

async fn bounded<T>(
    image: &str,
    answer: impl Future<Output = Result<T, OciDistributionError>>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(result) => result.map_err(|error| classify(image, error)),
        Err(_) => Err(RegistryError::Unreachable(format!(
            "no answer within {} s",
            ANSWER_TIMEOUT.as_secs()
        ))),
    }
}

fn classify(image: &str, error: OciDistributionError) -> RegistryError {
    use OciDistributionError as E;
    match error {
        E::ImageManifestNotFoundError(_) => RegistryError::NotFound(image.to_owned()),
        E::RegistryError { envelope, .. } => {
            let codes = || envelope.errors.iter().map(|error| &error.code);
            let missing = |code: &OciErrorCode| {
                matches!(
                    code,
                    OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                )
            };
            if codes().any(missing) {
                RegistryError::NotFound(image.to_owned())
            } else if codes().any(|code| matches!(code, OciErrorCode::Unauthorized)) {
                RegistryError::LoginFailed
            } else if codes().any(|code| matches!(code, OciErrorCode::Denied)) {
                RegistryError::Denied(envelope.to_string())
            } else if codes().any(|code| matches!(code, OciErrorCode::Toomanyrequests)) {
                RegistryError::Unreachable("it asks for fewer requests".to_owned())
            } else {
                RegistryError::Protocol(envelope.to_string())
            }
        }
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => RegistryError::LoginFailed,
        E::ServerError { code: 404, .. } => RegistryError::NotFound(image.to_owned()),
        E::ServerError {
            code: 403, message, ..
        } => RegistryError::Denied(message),
        E::ServerError { code, .. } => RegistryError::Unreachable(format!("status {code}")),
        // reqwest's text names the URL and hides the cause; the chain below it has the cause.
        E::RequestError(error) => RegistryError::Unreachable(innermost(&error)),
        E::IoError(error) => RegistryError::Unreachable(error.to_string()),
        other => RegistryError::Protocol(other.to_string()),
    }
}

/// What lies beneath an error of an HTTP client: its own text names the URL and hides the cause.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[path = "registry_access.rs"]
mod access;
#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
