//! What the control plane decides about the cache, apart from what the store remembers.

pub(crate) mod images;
pub(crate) mod leases;
pub(crate) mod logins;
pub(crate) mod policy;
pub(crate) mod reports;
pub(crate) mod retention;
pub(crate) mod waiting;
pub(crate) mod worth;
