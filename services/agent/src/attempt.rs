//! One attempt: its log, its life, and the register of all attempts on the node.

mod log;
mod manager;
mod recorder;

pub use log::{AttemptLog, Batch};
pub use manager::{AttemptError, Attempts};
pub(crate) use recorder::without_escapes;
pub use recorder::{OutputSink, Recorder};
