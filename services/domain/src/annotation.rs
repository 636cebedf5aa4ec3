//! Names of the annotations of an image's manifest.

/// The cache key that the image was built for, `k2:` and 64 hex digits.
pub const KEY: &str = "dev.hearth.key";
/// The digest of the key manifest, `sha256:` and 64 hex digits.
pub const MANIFEST_DIGEST: &str = "dev.hearth.manifest-digest";
/// What the image was built by: versions of engine and devcontainer CLI. BuildKits of other versions compute other digests of
/// the same steps.
pub const BUILDER: &str = "dev.hearth.builder";
/// The digest of the blob with the image's frame index (docs/frame-index.md).
pub const FRAME_INDEX: &str = "dev.hearth.frame-index";
/// The URL of the git repository (OCI image spec, annotations). GHCR connects a package to its repository by it.
pub const SOURCE: &str = "org.opencontainers.image.source";
