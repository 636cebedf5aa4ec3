//! The real control plane in this process, and the one party outside of it: an agent.

pub mod access;
pub mod agent;
pub mod cache;
pub mod events;
pub mod logins;
pub mod logs;
pub mod plane;
pub mod refusals;
pub mod registry;
pub mod start;
pub mod tls;

use std::{future::Future, time::Duration};

/// A test that waits for what never comes fails instead of hanging. Nothing is measured with this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that has to happen.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}
