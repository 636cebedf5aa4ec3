//! Fuzz targets: one function for each kind of text that comes from outside and that hearth parses itself.
//!
//! A target panics when the parser breaks one of its promises. The same functions are called by `cargo fuzz`
//! (`fuzz_targets`), which is guided by coverage, and by `tests/bounded`, which runs on a stable toolchain for a
//! bounded time. `seeds/NAME` has the inputs that both begin with.

mod builds;
mod commands;
mod compose;
mod configuration;
mod dockerfile;
mod door;
mod ignore_file;
mod images;
mod joining;
mod jsonc;
mod layers;
mod names;
mod progress;
mod registry;
mod repository;
mod sftp;
mod signature;

use hearth_agent::policy::{Allowed, HostAccess, Policy};

pub use builds::{build_options, run_args};
pub use commands::{cli_log, git_failure, lines, submodules};
pub use compose::compose;
pub use configuration::{clone, configuration};
pub use dockerfile::{dockerfile, words};
pub use door::{door_call, door_container, door_network, door_volume};
pub use ignore_file::ignore_file;
pub use images::{image_metadata, passwd};
pub use joining::joining;
pub use jsonc::{jsonc, lockfile};
pub use layers::{frames, layer};
pub use names::names;
pub use progress::progress;
pub use registry::registry;
pub use repository::repository;
pub use sftp::sftp;
pub use signature::signature;

/// What an attempt may ask of a node that opens nothing to anybody.
fn closed() -> Allowed {
    let policy = Policy {
        host_access: HostAccess::Never,
        open_doors: [].into(),
    };
    policy.allow(false, None)
}
