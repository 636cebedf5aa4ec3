//! What a Dockerfile's build depends on, read without running it.
//!
//! The rules are those of BuildKit (`frontend/dockerfile` of moby/buildkit, read at v0.13 and at v0.31). Where its
//! versions differ, or where this reader does not follow, the answer is the careful one: more counts than need be.

mod lines;
mod plan;
mod sources;
mod stages;
mod variables;
mod words;

pub use lines::DockerfileError;
pub use plan::{BuildOptions, BuildPlan, ImageFacts, plan, plan_blindly};
pub use sources::ContextSource;

#[cfg(test)]
mod tests;
