mod build_caches;
mod change;
mod clients;
mod database;
mod entries;
mod entry_uses;
mod granted_secrets;
mod joining;
mod life;
mod log;
mod lookups;
mod nodes;
mod room;
mod rows;
mod workspaces;

pub use database::{Settings, Sqlite};
