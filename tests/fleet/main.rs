//! Many nodes: real agents and a real control plane in one process, on fakes of engines, git, devcontainer CLI and
//! registry. `tests/scenarios` has the same with two or three nodes and with real tools.

#![allow(missing_docs, reason = "tests")]

mod at_once;
mod enter;
mod external;
mod fleet;
mod follow;
mod given_up;
mod hanging_engine;
mod identity;
mod interpreter;
mod joined;
mod life;
mod line;
mod logins;
mod once;
mod rebuilding;
mod rejoined;
mod signed;
mod skew;
mod speech;
