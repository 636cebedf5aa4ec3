//! Tokens of a GitHub App: for one repository, with exactly the permissions that the attempt needs.

mod answer;
mod api;
mod app;
mod failure;
mod minter;
mod pace;
mod permissions;
mod wire;

pub(super) use app::GitHubApp;
