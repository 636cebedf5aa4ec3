//! A workspace as the fold of its log, and how that log grows. Pure: the store runs these rules in its transactions.

mod fold;
mod life;
mod progress;
mod sequence;

pub use fold::Record;
pub use life::{LifeChange, NotNow, is_usable};
pub use progress::{Progress, Rebuilding};
pub use sequence::{Ending, LogEntry};

#[cfg(test)]
pub(crate) use fold::tests::asked_for;
