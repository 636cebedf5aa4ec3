//! What a Dockerfile's build depends on, read without running it.
//!
//! The rules are those of BuildKit (`frontend/dockerfile` of moby/buildkit, read at v0.13 and at v0.31). Where its
//! versions differ, or where this reader does not follow, the answer is the careful one: more counts than need be.

mod blind;
mod directives;
mod lines;
mod plan;
mod sources;
mod stages;
mod variables;
mod words;

pub use blind::plan_blindly;
pub use lines::DockerfileError;
pub use plan::{BuildOptions, BuildPlan, ImageFacts, plan};
pub use sources::ContextSource;

#[cfg(test)]
mod tests;
