mod database;
mod entries;
mod lookups;
mod nodes;
mod rows;
mod workspaces;

pub use database::Sqlite;
