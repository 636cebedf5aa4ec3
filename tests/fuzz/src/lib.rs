//! Fuzz targets: one function for each kind of text that comes from outside and that hearth parses itself.
//!
//! A target panics when the parser breaks one of its promises. The same functions are called by `cargo fuzz`
//! (`fuzz_targets`), which is guided by coverage, and by `tests/bounded`, which runs on a stable toolchain for a
//! bounded time. `seeds/NAME` has the inputs that both begin with.

mod configuration;
mod dockerfile;
mod ignore_file;
mod jsonc;
mod names;
mod progress;
mod registry;
mod repository;

pub use configuration::{clone, configuration};
pub use dockerfile::dockerfile;
pub use ignore_file::ignore_file;
pub use jsonc::jsonc;
pub use names::names;
pub use progress::progress;
pub use registry::registry;
pub use repository::repository;
