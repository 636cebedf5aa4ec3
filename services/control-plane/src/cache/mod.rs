//! What the control plane decides about the cache: where a repository's cache is and who may write to it, which attempt
//! builds a key and which ones wait for it, what is kept, and why it came out like that.

mod adopt;
mod claims;
mod cost;
mod entries;
mod explain;
mod explanations;
mod images;
mod index;
mod leases;
mod mounts;
mod neighbours;
mod policy;
mod registry_logins;
mod reports;
mod resolve;
mod retention;
mod rules;
mod signing;
mod signing_key;
mod verification;
mod waiting;

pub use policy::{CacheWriters, WritersParseError};

pub(crate) use cost::too_slow;
pub(crate) use entries::Entries;
pub(crate) use explanations::Explanations;
pub(crate) use images::Images;
pub(crate) use index::Index;
pub(crate) use mounts::CacheMounts;
pub(crate) use neighbours::Offer;
pub(crate) use registry_logins::RegistryLogins;
pub(crate) use reports::Reports;
pub(crate) use resolve::{Asked, Decisions, Resolving};
pub(crate) use retention::{Keep, Retention};
pub(crate) use rules::{CacheRules, CacheUse};
pub(crate) use signing::{Signing, SigningKeys};
pub(crate) use signing_key::{earlier_keys, signing_key};
pub(crate) use verification::Verification;
pub(crate) use waiting::Waiting;
