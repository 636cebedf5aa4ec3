//! Many nodes: real agents and a real control plane in one process, on stand-ins of the engines, of git and of the
//! registry. What it takes tools and minutes to see with real ones, two or three nodes of it, is in `tests/scenarios`.

#![allow(missing_docs, reason = "tests")]

mod external;
mod fleet;
mod follow;
mod logins;
mod once;
