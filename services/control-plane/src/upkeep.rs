//! What the control plane does for its database all the time.

use std::{sync::Arc, time::Duration};

use hearth_runtime::Obstacle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{clock::days_long, store::Store};

/// How often it is tried whether the database can be written.
const CHECK: Duration = Duration::from_secs(5);
const HOURLY: Duration = Duration::from_secs(3600);

/// Tells by `obstacle` while the database cannot be written, or has too little room, until `stopping`.
pub(crate) async fn watch(store: Arc<dyn Store>, obstacle: Obstacle, stopping: CancellationToken) {
    let mut ticks = interval(CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = None;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let why = store.check().await.err().map(|error| {
            let outage = error.outage();
            outage.unwrap_or_else(|| format!("the database cannot be written: {error}"))
        });
        match &why {
            Some(why) if failed.is_none() => tracing::error!(why, "not ready"),
            None if failed.is_some() => tracing::info!("the database can be written again"),
            _ => {}
        }
        obstacle.set(why.clone());
        failed = why;
    }
}

/// Drops the output of workspaces that settled more than `days` ago, every hour until `stopping`.
pub(crate) async fn drop_old_output(store: Arc<dyn Store>, days: u32, stopping: CancellationToken) {
    let mut ticks = interval(HOURLY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.drop_output(days_long(days)).await {
            Ok(0) => {}
            Ok(workspaces) => tracing::info!(workspaces, days, "old output dropped"),
            Err(error) => {
                tracing::error!(%error, "cannot drop old output; the next hour tries again");
            }
        }
    }
}
