//! Pure types and rules of hearth: what a repository is, where its cache is kept, what a cache key is made of. There is
//! no I/O, so every rule can be tested by itself.

pub mod annotation;
mod cache_key;
mod cache_reference;
mod canonical_json;
mod config_name;
mod digest;
mod dockerfile;
mod feature_id;
mod git_options;
mod git_ref;
mod glob;
mod host;
mod identity;
mod ignore;
mod image_name;
mod key_change;
mod labels;
mod login;
mod node_address;
mod platform;
mod repository;
mod repository_pattern;
mod scope;
mod secret;
mod service_name;
pub mod text;
mod workspace;

pub use cache_key::{
    CacheKey, Input, KEY_VERSION, KeyManifest, KeyParseError, KeyedManifest, ManifestParseError,
};
pub use cache_reference::{
    BASE_TAG, CacheReference, CacheRegistry, CacheRepository, CacheRepositoryError, CacheTagError,
    NotCacheable, RegistryParseError,
};
pub use canonical_json::canonical_json;
pub use config_name::{ConfigName, ConfigNameError, config_candidates};
pub use digest::{Digest, DigestError, sha256_hex};
pub use dockerfile::{
    AsBuilt, BuildOptions, BuildPlan, ContextSource, DockerfileError, ImageFacts, as_built, plan,
    plan_blindly,
};
pub use feature_id::FeatureId;
pub use git_options::{
    CloneDepth, GitAuthor, GitAuthorError, GitOptions, SparsePaths, SparsePathsError,
};
pub use git_ref::{CommitHash, CommitHashError, GitRef, GitRefError};
pub use glob::matches as glob_matches;
pub use host::{is_loopback, split_port};
pub use identity::{Identity, IdentityError, Name, NameError};
pub use ignore::{FolderMatches, Ignore, IgnoreError};
pub use image_name::{is_cache_tag, is_of_other_cache, repository_and_tag};
pub use key_change::{KeyChange, changes};
pub use labels::{Label, LabelError, LabelParseError, Labels, WorkspaceOwner, WorkspaceOwnerError};
pub use login::Login;
pub use node_address::{NodeAddress, NodeAddressError};
pub use platform::{Platform, PlatformError};
pub use repository::{Repository, RepositoryError};
pub use repository_pattern::{RepositoryPattern, RepositoryPatternError, RepositoryPatterns};
pub use scope::{Scope, Scopes, ScopesError};
pub use secret::{Secret, SecretName, SecretNameError, SecretValue, SecretValueError};
pub use service_name::{ServiceName, ServiceNameError};
pub use workspace::{AttemptRef, CacheAccess, Fallback, Spec, WorkspaceId, WorkspaceIdError};
