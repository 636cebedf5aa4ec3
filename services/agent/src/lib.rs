//! The hearth agent: prepares and runs workspaces on one node.
//!
//! A module uses only modules that stand below it here:
//!
//! ```text
//! app, fuzzing, key_command           wires everything, owns the tasks; parsers for tests/fuzz; the key of a checkout
//! config, service, registration       flags; the gRPC service; the node's registration
//! enter                               commands, SSH and connections to ports in workspaces
//! pipeline                            the steps of an attempt
//! door                                what an attempt may ask of the engine
//! secrets                             secrets of a workspace's repository
//! leftovers                           what ended attempts left on the node
//! attempt, credentials, disk          logs and register of attempts; logins; free disk
//! configurations, build_log           configurations of repositories without a workspace; output of builds
//! default_images                      fetches images that repositories get which name none
//! identity                            the node's key and certificate
//! external, key                       engine, git, devcontainer CLI, registry, control plane; the cache key
//! engine_health                       whether the engine answers
//! scratch, devcontainer               an attempt's private folder; devcontainer.json
//! clone_files, credential_helper, buildkit, folders, mask, metrics, owners, policy
//! ```

pub mod app;
pub mod attempt;
pub mod build_log;
pub mod buildkit;
mod clone_files;
pub mod config;
mod configurations;
mod connection;
mod credential_helper;
pub mod credentials;
mod default_images;
pub mod devcontainer;
pub mod disk;
pub mod door;
mod engine_health;
mod enter;
pub mod external;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod key;
pub mod key_command;
mod leftovers;
mod mask;
mod metrics;
mod neighbourhood;
mod owners;
pub mod pipeline;
pub mod policy;
mod ports;
mod registration;
pub mod scratch;
pub mod secrets;
mod service;
