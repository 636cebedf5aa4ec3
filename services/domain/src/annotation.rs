//! Names of the annotations of an image's manifest.

/// The cache key that the image was built for, `k2:` and 64 hex digits.
pub const KEY: &str = "dev.hearth.key";
/// The digest of the key manifest, `sha256:` and 64 hex digits.
pub const MANIFEST_DIGEST: &str = "dev.hearth.manifest-digest";
/// The URL of the git repository (OCI image spec, annotations). GHCR connects a package to its repository by it.
pub const SOURCE: &str = "org.opencontainers.image.source";
