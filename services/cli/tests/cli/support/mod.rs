//! A control plane that follows a script, and the client under test.

mod client;
mod control_plane;
mod script;
mod services;

pub use client::{Ended, LIMIT, ended, hearth, run};
pub use control_plane::ControlPlane;
pub use script::{Answer, Call, End};
