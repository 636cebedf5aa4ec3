//! The real binary against a control plane that follows a script.

mod access;
mod cache;
mod connection;
mod doctor;
mod failures;
mod life;
mod logs;
mod resuming;
mod simple;
mod story;
mod support;
mod terminal;
mod tls;
mod tokens;
mod up;
