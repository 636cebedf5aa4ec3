//! The services of the contract: conversion between messages and values, faults of fields, and who is calling. The work
//! itself is done by the subjects that they serve.

mod agent_registry;
mod cache;
mod cache_index;
mod credentials;
mod nodes;
mod routes;
mod validate;
mod workspaces;

pub(crate) use routes::{Served, routes};
