//! What the control plane decides about the cache, apart from what the store remembers.

pub(crate) mod leases;
pub(crate) mod waiting;
