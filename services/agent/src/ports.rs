use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use hearth_runtime::{Admin, Metrics, Obstacle, Tasks};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The ports of an agent. The admin port answers from the start: health does not wait for the engine.
pub struct Ports {
    pub listener: TcpListener,
    pub admin: SocketAddr,
    pub ready: Arc<AtomicBool>,
    /// What keeps the node from taking work.
    pub obstacle: Obstacle,
    /// Ends the admin port, which answers while attempts end.
    pub closed: CancellationToken,
    pub metrics: Metrics,
    pub tasks: Tasks,
}

impl Ports {
    /// Binds them.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let listener = config.listening.bind(config.listen).await?;
        let metrics = Metrics::default();
        let admin = Admin::bind(config.admin_listen, metrics.clone()).await?;
        let (address, ready, obstacle) = (admin.address()?, admin.ready(), admin.obstacle());
        let (tasks, closed) = (Tasks::default(), CancellationToken::new());
        tasks.spawn("admin", admin.serve(closed.clone()));
        Ok(Self {
            listener,
            admin: address,
            ready,
            obstacle,
            closed,
            metrics,
            tasks,
        })
    }
}
