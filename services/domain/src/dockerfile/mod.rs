//! What a Dockerfile's build depends on, read without running it.
//!
//! The rules are those of BuildKit (`frontend/dockerfile` of moby/buildkit, read at v0.13 and at v0.31). Where its
//! versions differ, or where this reader cannot follow, it counts too much and never too little: a key may then change
//! without need, but two different images never have the same one.

mod as_built;
mod blind;
mod canonical;
mod directives;
mod follow;
mod lines;
mod plan;
mod read;
mod sources;
mod stages;
mod variables;
mod words;

pub use as_built::{AsBuilt, as_built};
pub use blind::plan_blindly;
pub use lines::DockerfileError;
pub use plan::{BuildOptions, BuildPlan, ImageFacts};
pub use read::plan;
pub use sources::ContextSource;

#[cfg(test)]
mod as_built_tests;
#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests;
