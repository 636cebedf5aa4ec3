//! The devcontainer configuration of a clone, read once, as the CLI reads it.
//!
//! The answer has two halves. A [`Recipe`] is what makes the image: the cache key is computed from it, and the build's
//! own devcontainer.json is written from it ([`Recipe::to_properties`]). A [`Container`] is the rest: hooks, mounts,
//! environment. It comes from the clone at every start. A property is in one half; only the users are in both where the
//! install scripts of features see them.

mod build;
mod build_flags;
mod build_option;
mod build_options;
mod build_values;
mod choice;
mod clone_path;
mod compose_build;
mod container;
mod error;
mod features;
mod find;
pub mod jsonc;
mod list;
mod properties;
mod read;
mod recipe;
mod tokens;
mod variables;

pub use build::{Build, BuildGrant, CACHE_MOUNTS, Located};
pub use build_flags::flag_takes_value;
pub use build_option::{BuildOption, LeftOut};
pub(crate) use build_option::{Keyed, NamedContext};
pub(crate) use build_values::CACHE_SOURCE;
pub(crate) use clone_path::{ClonePath, readable};
pub use compose_build::ServiceBuild;
pub(crate) use compose_build::unescaped_text;
pub use container::{Container, HookCommand, hook_commands};
pub use error::ConfigError;
pub(crate) use error::{FileError, FileFault};
pub use features::{Features, dependencies_of};
pub(crate) use features::{LocalFeature, MAX_FEATURES, lockfile, lockfile_path};
pub(crate) use find::find_in;
pub use find::{Found, find};
pub use list::{Kind, Listed, list};
pub use read::{Compose, DevcontainerConfig, Place, Source};
pub use recipe::{Base, Recipe};
