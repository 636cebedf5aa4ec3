//! Pure types and rules of hearth: what a repository is, where its cache lives, what a cache key is
//! made of. No I/O happens here, so every rule can be tested by itself.

mod cache_key;
mod cache_reference;
mod config_name;
mod digest;
mod repository;

pub use cache_key::{CacheKey, Input, KeyManifest, KeyParseError};
pub use cache_reference::{CacheReference, CacheRegistry, NotCacheable, RegistryParseError};
pub use config_name::{ConfigName, ConfigNameError};
pub use digest::{Digest, DigestError, sha256_hex};
pub use repository::{Repository, RepositoryError, validate_git_ref};
