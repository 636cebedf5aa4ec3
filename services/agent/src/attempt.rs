//! The register of the node's attempts, and the log of each.

mod activity;
mod attempts;
mod follow;
mod log;
mod output;
mod pace;
mod recorder;
mod settled;

pub use activity::Activity;
pub use attempts::{AttemptError, Attempts};
pub use follow::follow;
pub use log::{AttemptLog, Batch};
pub use output::OutputSink;
pub(crate) use output::without_escapes;
pub use recorder::{Current, Recorder};
