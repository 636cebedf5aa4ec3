//! Many nodes: real agents and a real control plane in one process, on stand-ins of the engines, of git and of the
//! registry. What it takes tools and minutes to see with real ones, two or three nodes of it, is in `tests/system.rs`.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; they share their client with others"
)]

#[path = "../support"]
mod support {
    pub mod client;
    pub mod process;
}
#[path = "../support/github/mod.rs"]
mod github;

mod external;
mod fleet;
mod follow;
mod logins;
mod once;
