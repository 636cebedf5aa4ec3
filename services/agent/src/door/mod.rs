//! The attempt's own door to the engine.
//!
//! The devcontainer CLI, Compose and buildx talk to a socket of the attempt. The agent passes on the calls of a table
//! ([`endpoint`]), about things of the workspace only ([`objects`]), whose names are made its own ([`names`]). What is made
//! gets the workspace's label, and is left without what the policy does not allow ([`container`], [`mounts`], [`network`],
//! [`volume`], [`ports`]). Which images builds may take BuildKit judges, by a policy that is made here ([`mod@source_policy`]).
//! [`gate`] is one call from its request to its answer, [`made`] those that make something. What no engine could start is
//! not started ([`user_files`]).

mod answer;
mod children;
mod container;
mod endpoint;
mod filters;
pub(crate) mod fuzzing;
mod gate;
mod judge;
mod made;
mod mounts;
mod names;
mod network;
mod objects;
mod own_images;
mod pins;
mod places;
mod ports;
mod pull;
mod serve;
mod source_policy;
mod upstream;
mod user_files;
mod verdict;
mod volume;

pub use own_images::OwnImages;
pub use serve::{Doors, OpenDoor, Own};
pub use source_policy::{denied_source, source_policy};
