//! Whole-system tests: real engines, a real registry, real git, the real devcontainer CLI, and hearth's own
//! binaries as processes. One module for each promise.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod audit;
mod build_cache;
mod build_options;
mod cache;
mod choosing;
mod compose_asks;
mod compose_cache;
mod configurations;
mod credentials;
mod disk;
mod door;
mod engine;
mod enter;
mod failures;
mod field;
mod git;
mod git_in_workspace;
mod hooks;
mod hostile_containers;
mod hostile_files;
mod image_metadata;
mod keyed;
mod kills;
mod layers;
mod leaks;
mod letting_in;
mod life;
mod lost;
mod neighbours;
mod other_images;
mod private_cache;
mod push;
mod rebuilding;
mod registry_faults;
mod requests;
mod restarts;
mod sandbox;
mod secrets;
mod signatures;
mod stand_in;
mod strangers;
mod tools;
mod trust;
