//! Renders messages as text. Pure functions: no terminal, no clock.

pub(crate) mod access;
pub(crate) mod cache;
pub(crate) mod configs;
pub(crate) mod describe;
pub(crate) mod findings;
pub(crate) mod format;
pub(crate) mod names;
pub(crate) mod next;
pub(crate) mod outcome;
pub(crate) mod plain;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod tokens;
pub(crate) mod trust;
pub(crate) mod verified;
pub(crate) mod view;
