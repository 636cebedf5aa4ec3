//! Images that hearth brings into a real engine, from a registry that can fail.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod archive;
mod chance;
mod equal;
mod faults;
mod gnu_tar;
mod hostile;
mod index;
mod listing;
mod neighbours;
mod push;
mod random;
mod receiver;
mod registry;
mod server;
mod used;
mod world;
