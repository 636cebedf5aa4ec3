//! A workspace as the fold of its log, and how that log grows. Pure: the store runs these rules in its transactions.

mod fold;
mod life;
mod sequence;

pub use fold::{Progress, Rebuilding, Record};
pub use life::{LifeChange, NotNow, is_usable};
pub use sequence::{Ending, LogEntry};

#[cfg(test)]
pub(crate) use fold::tests::asked_for;
