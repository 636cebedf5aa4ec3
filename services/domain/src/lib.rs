//! Pure types and rules of hearth: what a repository is, where its cache lives, what a cache key is
//! made of. No I/O happens here, so every rule can be tested by itself.

mod cache_key;
mod cache_reference;
mod commit_hash;
mod config_name;
mod digest;
mod dockerfile;
mod feature_id;
mod glob;
mod host;
mod ignore;
mod repository;
mod substitution;
pub mod text;

pub use cache_key::{CacheKey, Input, KeyManifest, KeyParseError};
pub use cache_reference::{CacheReference, CacheRegistry, NotCacheable, RegistryParseError};
pub use commit_hash::is_commit_hash;
pub use config_name::{ConfigName, ConfigNameError};
pub use digest::{Digest, DigestError, sha256_hex};
pub use dockerfile::{
    BuildOptions, BuildPlan, ContextSource, DockerfileError, ImageFacts, plan, plan_blindly,
};
pub use feature_id::FeatureId;
pub use glob::matches as glob_matches;
pub use host::{is_loopback, split_port};
pub use ignore::{FolderMatches, Ignore, IgnoreError};
pub use repository::{Repository, RepositoryError, validate_git_ref};
pub use substitution::{canonical_json, substitute_local_env};
