//! The cache key, read from a clone.
//!
//! The key is the digest of a [`hearth_domain::KeyManifest`]: every input of the image with its own digest or value.
//!
//! | Kind | Name | Value |
//! |---|---|---|
//! | `platform` | `platform` | `os/architecture` |
//! | `tool` | `devcontainer` | major and minor version of the CLI, which adds to each image |
//! | `tool` | `frontend` | a Dockerfile frontend of Docker's own whose digest is not known |
//! | `config` | the property | its canonical JSON; `build.…` as plain text, secrets with their digests |
//! | `dockerfile` | its path | digest of the instructions that are carried out, as a JSON list in canonical form |
//! | `build-arg` | its name | its value; only arguments that change something |
//! | `base-image` | the reference | the digest that it names now |
//! | `file` | its path in the clone | `file <mode> <sha256>`, `folder <mode>`, `link <target>`, `commit <hash>` and `names <sha256>` (of tags and branches) for .git, `<n> entries <sha256>` for many; of the context and of features in the clone |
//! | `feature` | its reference | digest of its manifest, or what the lockfile pins |
//! | `remote` | the URL | the checksum or commit that pins it, or `unpinned` |
//!
//! A value that has the clone's path on the node has no key: it would be another one in every workspace.
//!
//! Equal manifests mean equal images as far as BuildKit could tell: it would find every step in its cache. The reverse
//! does not hold. Where a build cannot be understood, more is counted than necessary, and [`KeyReading::careful`] says why.

mod context;
mod contexts;
mod dockerfile;
mod error;
mod features;
mod git;
mod ignores;
mod read;
mod remote;
mod source;
mod tree;

#[cfg(test)]
mod tests;

pub use error::KeyError;
pub(crate) use features::Lockfile;
pub use read::read_key;
pub(crate) use read::read_key_of;
pub use source::{KeyReading, KeySource, ResolveImage};
