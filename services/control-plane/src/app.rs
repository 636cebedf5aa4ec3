use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use hearth_runtime::{Admin, GrpcServer, Metrics, Tasks, write_ready_file};
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::retention::{Retention, retire_hourly},
    cache_target::CacheRules,
    config::Config,
    core::{Core, Settings},
    credentials::Credentials,
    deletion::resume,
    fleet::Fleet,
    services::routes,
    sessions::Sessions,
    store::{Sqlite, Store},
};

/// How long tasks may take to end after open calls were drained. None of them has more to do than one transaction.
const DRAIN: Duration = Duration::from_secs(5);
/// How old the numbers of workspaces and nodes may be that metrics show.
const METRICS_PERIOD: Duration = Duration::from_secs(5);

/// A control plane that has its ports and its database and does nothing yet.
pub struct ControlPlane {
    core: Arc<Core>,
    listener: TcpListener,
    admin: Admin,
    ready: Arc<AtomicBool>,
    addresses: Addresses,
    ready_file: Option<PathBuf>,
}

/// Where a control plane is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

impl ControlPlane {
    /// Opens the database and binds the ports.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let path = config.database.path();
        let store = Sqlite::open(path, config.history_limit)
            .await
            .with_context(|| format!("--database (HEARTH_DATABASE): {}", path.display()))?;
        let lease = Duration::from_secs(config.node_lease_seconds.into());
        let fleet = Fleet::new(lease, store.nodes().await?);
        let (metrics, tasks) = (Metrics::default(), Tasks::default());
        let credentials = Credentials::new(config.sources, &tasks, &metrics)
            .context("--credentials (HEARTH_CREDENTIALS)")?;
        let store: Arc<dyn Store> = Arc::new(store);
        let core = Core::new(
            store.clone(),
            fleet,
            Sessions::load(store).await?,
            credentials,
            Settings {
                cache_rules: CacheRules {
                    registry: config.cache_registry,
                    writers: config.cache_writers,
                },
                cache_lease: Duration::from_secs(config.cache_lease_seconds.into()),
                retention: Retention {
                    entries: config.cache_keep_entries,
                    days: config.cache_keep_days,
                },
                lease_seconds: config.node_lease_seconds,
            },
            tasks,
            &metrics,
        );
        let listener = config.listening.bind(config.listen).await?;
        let admin = Admin::bind(config.admin_listen, metrics).await?;
        Ok(Self {
            core: Arc::new(core),
            addresses: Addresses {
                listen: listener.local_addr()?,
                admin: admin.address()?,
            },
            ready: admin.ready(),
            listener,
            admin,
            ready_file: config.ready_file,
        })
    }

    /// Where it is reached, with the ports that were picked if they were 0.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop`, then ends its tasks. Attempts go on at their agents; the next start takes them up.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let core = self.core;
        let tasks = core.tasks.clone();
        let server = GrpcServer::new(routes(&core))?;
        let resumed = resume(&core).await?;
        tasks.spawn("admin port", self.admin.serve(tasks.stopping().clone()));
        tasks.spawn("retention", retire_hourly(core.clone()));
        tasks.spawn("metrics", show_metrics(core.clone()));
        let Addresses { listen, admin } = self.addresses;
        if let Some(path) = &self.ready_file {
            // The port is bound: whoever connects from now on is served.
            write_ready_file(path, listen, admin)?;
        }
        self.ready.store(true, Ordering::Relaxed);
        tracing::info!(%listen, %admin, resumed, "control plane serves");

        // Watchers end with the tasks, so that the server has nothing left to drain.
        let watchers = {
            let (stop, stopping) = (stop.clone(), tasks.stopping().clone());
            async move {
                stop.cancelled().await;
                stopping.cancel();
            }
        };
        let (served, ()) = tokio::join!(
            async {
                let served = server.serve(self.listener, stop.clone()).await;
                // A server that broke must not leave the rest waiting for a signal.
                stop.cancel();
                served
            },
            watchers
        );
        self.ready.store(false, Ordering::Relaxed);
        tasks.stop(DRAIN).await;
        core.store.close().await;
        tracing::info!("control plane ended");
        served
    }
}

async fn show_metrics(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(METRICS_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.tasks.stopping().cancelled() => return,
            _ = ticks.tick() => {}
        }
        match core.store.counts().await {
            Ok(counts) => {
                let standings = core.fleet.all().into_iter().map(|node| node.standing);
                core.counters.show(&counts, standings);
            }
            Err(error) => tracing::warn!(%error, "cannot count workspaces"),
        }
    }
}
