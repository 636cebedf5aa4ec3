//! A workspace as its log says that it is, and how that log grows. Pure: the store runs these rules in its transactions.

mod fold;
mod sequence;

pub use fold::{Progress, Record};
pub use sequence::{Ending, LogEntry};

#[cfg(test)]
pub(crate) use fold::tests::asked_for;
