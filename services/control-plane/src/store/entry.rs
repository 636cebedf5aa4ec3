use hearth_api::v1;
use hearth_domain::{
    CacheKey, CacheRepository, CommitHash, ConfigName, Digest, GitRef, KeyedManifest, Platform,
    Repository, ServiceName,
};
use hearth_runtime::FieldFaults;
use hearth_signatures::Signature;
use prost_types::Timestamp;

/// A hit carries the manifest back, in a message of at most 4 MiB.
pub(crate) const MAX_MANIFEST_BYTES: usize = 2 * 1024 * 1024;

/// What an image is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where the cache is.
    pub repository: CacheRepository,
    /// The cache key.
    pub key: CacheKey,
}

/// An image in the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is found by.
    pub place: Place,
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// The inputs behind the key. `None` in lists, and where the agent did not send them.
    pub manifest: Option<KeyedManifest>,
    /// The git repository that it was built from. `None` where that is not known.
    pub source: Option<Repository>,
    /// The configuration; `None`: the default one.
    pub config: Option<ConfigName>,
    /// The service of its Docker Compose project; `None`: the devcontainer's own.
    pub service: Option<ServiceName>,
    /// What the image runs on.
    pub platform: Platform,
    /// The commit that it was built from, where that is known.
    pub commit: Option<CommitHash>,
    /// The ref that it was built from.
    pub git_ref: GitRef,
    /// The workspace that pushed it, or `registry` where it was found there.
    pub writer: String,
    /// How long the build took; zero where that is not known.
    pub build_seconds: f64,
    /// Compressed size of the image.
    pub bytes: u64,
    /// The control plane's signature of what it says. `None` where it is not signed.
    pub signature: Option<Signature>,
    /// When it was entered. Set by the store.
    pub created: Option<Timestamp>,
    /// When it was last found. Set by the store.
    pub last_used: Option<Timestamp>,
}

impl Entry {
    /// Reads a message: a request's, or what the store holds. `None` when a fault was added.
    pub(crate) fn read(message: v1::CacheEntry, faults: &mut FieldFaults) -> Option<Self> {
        let text = message.key_manifest.as_str();
        let key = faults.check("entry.key", message.key.parse());
        if !text.is_empty() && key.as_ref().is_some_and(|key| *key != CacheKey::of(text)) {
            faults.add("entry.key", "is not the SHA-256 of entry.key_manifest");
        }
        let manifest = manifest(text, "entry.key_manifest", faults);
        let source = faults.check_optional("entry.source", &message.source);
        let config = faults.check_optional("entry.config", &message.config);
        let service = faults.check_optional("entry.service", &message.service);
        let commit = faults.check_optional("entry.commit", &message.commit);
        if !message.build_seconds.is_finite() || message.build_seconds < 0.0 {
            faults.add("entry.build_seconds", "must be a number of seconds");
        }
        let repository = faults.check("entry.repository", message.repository.parse());
        let digest = faults.check("entry.digest", message.digest.parse());
        let platform = faults.check("entry.platform", message.platform.parse());
        let git_ref = faults.check("entry.ref", message.r#ref.parse());
        let signature = match &message.signature[..] {
            [] => Some(None),
            der => faults
                .check("entry.signature", Signature::from_der(der))
                .map(Some),
        };
        Some(Self {
            place: Place {
                repository: repository?,
                key: key?,
            },
            digest: digest?,
            manifest: manifest?,
            source: source?,
            config: config?,
            service: service?,
            platform: platform?,
            commit: commit?,
            git_ref: git_ref?,
            writer: message.writer,
            build_seconds: message.build_seconds,
            bytes: message.bytes,
            signature: signature?,
            created: message.create_time,
            last_used: message.last_use_time,
        })
    }

    /// The configuration's name; empty for the default one.
    pub(crate) fn config_text(&self) -> &str {
        self.config.as_ref().map_or("", ConfigName::as_str)
    }

    /// The service's name; empty for the devcontainer's own.
    pub(crate) fn service_text(&self) -> &str {
        self.service.as_ref().map_or("", ServiceName::as_str)
    }

    /// The URL of the git repository; empty where it is not known.
    pub(crate) fn source_text(&self) -> String {
        self.source
            .as_ref()
            .map_or_else(String::new, Repository::clone_url)
    }

    /// The commit; empty where it is not known.
    pub(crate) fn commit_text(&self) -> String {
        self.commit
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    }

    /// The inputs as they are stored; empty where they are not known.
    pub(crate) fn manifest_text(&self) -> &str {
        manifest_text(self.manifest.as_ref())
    }
}

/// Reads a key manifest, which may be left out. `None` when a fault was added.
pub(crate) fn manifest(
    text: &str,
    field: &str,
    faults: &mut FieldFaults,
) -> Option<Option<KeyedManifest>> {
    if text.len() > MAX_MANIFEST_BYTES {
        faults.add(field, "is larger than 2 MiB");
        return None;
    }
    faults.check_optional(field, text)
}

/// A key manifest as it is stored; empty where there is none.
pub(crate) fn manifest_text(manifest: Option<&KeyedManifest>) -> &str {
    manifest.map_or("", KeyedManifest::canonical_json)
}

impl From<Entry> for v1::CacheEntry {
    fn from(entry: Entry) -> Self {
        Self {
            key_manifest: entry.manifest_text().to_owned(),
            config: entry.config_text().to_owned(),
            service: entry.service_text().to_owned(),
            repository: entry.place.repository.to_string(),
            key: entry.place.key.to_string(),
            digest: entry.digest.to_string(),
            source: entry.source_text(),
            platform: entry.platform.to_string(),
            commit: entry.commit_text(),
            r#ref: entry.git_ref.to_string(),
            writer: entry.writer,
            build_seconds: entry.build_seconds,
            bytes: entry.bytes,
            signature: entry
                .signature
                .map_or_else(Vec::new, |signature| signature.as_der().to_vec()),
            build_cache: String::new(),
            create_time: entry.created,
            last_use_time: entry.last_used,
        }
    }
}
