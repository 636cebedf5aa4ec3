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
use hearth_runtime::{
    Admin, CallMetrics, GrpcServer, Metrics, Port, Stack, Tasks, write_ready_file,
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, CertificateIssuer},
    cache::{
        CacheMounts, CacheRules, Entries, Explanations, Images, Index, Keep, RegistryLogins,
        Reports, Resolving, Retention, Signing, Verification, Waiting,
    },
    config::Config,
    credentials::Credentials,
    enter::Entrances,
    identity::{Enrolment, JoinTokens, PortCertificate, ServiceAccounts},
    metrics::{Counters, show_metrics},
    node::{Agents, Fleet, Nodes, Sessions},
    probe::{AttemptLogins, Probe, ProbeOnce},
    repositories::Repositories,
    secrets::{SecretKeys, Secrets},
    services::{PageTokens, Served, identify, routes},
    signers::signing_keys,
    store::{HistoryLimits, Settings, Sqlite, Store},
    upkeep,
    workspace::{
        BuildLogs, Deletions, Drivers, Driving, Feeds, Journal, Keeper, Recovery, Stops, Uses,
        Watching, Workspaces,
    },
};

/// How long tasks may take to end after open calls were drained. Each has at most one transaction to finish.
const DRAIN: Duration = Duration::from_secs(5);

/// A control plane with its ports bound and its database open, which does not serve yet.
pub struct ControlPlane {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    counters: Arc<Counters>,
    access: Arc<Access>,
    recovery: Arc<Recovery>,
    retention: Arc<Retention>,
    watching: Arc<Watching>,
    keeper: Keeper,
    history_days: u32,
    server: GrpcServer,
    tasks: Tasks,
    port: Port,
    certificate: Option<PortCertificate>,
    admin: Admin,
    ready: Arc<AtomicBool>,
    addresses: Addresses,
    ready_file: Option<PathBuf>,
}

/// Addresses of a control plane.
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
        let settings = Settings {
            history: HistoryLimits {
                events: config.history_limit,
                bytes: config.history_mib * 1024 * 1024,
            },
            min_free_mib: config.database_min_free_mib,
        };
        let store = Sqlite::open(path, settings)
            .await
            .with_context(|| format!("--database (HEARTH_DATABASE): {}", path.display()))?;
        let (metrics, tasks) = (Metrics::default(), Tasks::default());
        let signing = signing_keys(&config)?;
        let secret_keys = config.secrets_key_file.as_deref().map(SecretKeys::load);
        let secret_keys = secret_keys
            .transpose()
            .context("--secrets-key-file (HEARTH_SECRETS_KEY_FILE)")?;
        let credentials = Credentials::new(config.sources, &tasks, &metrics)
            .context("--credentials (HEARTH_CREDENTIALS)")?;
        let credentials = Arc::new(credentials);
        let store: Arc<dyn Store> = Arc::new(store);
        let counters = Arc::new(Counters::register(&metrics));
        let access = Access::load(
            config.access_checked,
            config.admin_token_file,
            store.clone(),
            counters.clone(),
        );
        let access = Arc::new(access.await?);

        let lease = Duration::from_secs(config.node_lease_seconds.into());
        let fleet = Arc::new(Fleet::new(lease, store.nodes().await?));
        let agents = Arc::new(Agents::default());
        let sessions = Arc::new(Sessions::load(store.clone()).await?);
        let nodes = Nodes::new(
            store.clone(),
            fleet.clone(),
            sessions.clone(),
            agents.clone(),
        );
        let nodes = Arc::new(nodes);

        let rules = Arc::new(CacheRules {
            registry: config.cache_registry,
            writers: config.cache_writers,
        });
        let secrets = Arc::new(Secrets::new(store.clone(), rules.clone(), secret_keys));
        secrets.reseal().await?;
        let lease = Duration::from_secs(config.cache_lease_seconds.into());
        let waiting = Arc::new(Waiting::new(lease));
        let registry = Arc::new(RegistryLogins::new(credentials.clone()));
        let signing = Arc::new(Signing::new(
            signing,
            store.clone(),
            registry.clone(),
            tasks.clone(),
        ));
        let images = Images::new(store.clone(), registry.clone(), signing.clone());
        let images = Arc::new(images);
        let verification = Verification::new(store.clone(), registry.clone(), signing.clone());
        let keep = Keep {
            entries: config.cache_keep_entries,
            days: config.cache_keep_days,
        };
        let retention = Retention::new(keep, store.clone(), images.clone(), tasks.clone());
        let retention = Arc::new(retention);
        let resolving = Resolving {
            store: store.clone(),
            waiting: waiting.clone(),
            registry,
            signing: signing.clone(),
            fleet: fleet.clone(),
            tasks: tasks.clone(),
        };

        let feeds = Arc::new(Feeds::default());
        let journal = Arc::new(Journal::new(
            store.clone(),
            feeds.clone(),
            counters.clone(),
            waiting,
            Reports::new(store.clone(), rules.clone()),
        ));
        let cache_mounts = CacheMounts::load(&*store).await?;
        let default_images = config.default_images.unwrap_or_default();
        let driving = Driving {
            store: store.clone(),
            journal: journal.clone(),
            fleet: fleet.clone(),
            agents: agents.clone(),
            rules: rules.clone(),
            host_access: config.host_access.unwrap_or_default(),
            default_images: default_images.clone(),
            cache_mounts,
        };
        let drivers = Arc::new(Drivers::new(driving, tasks.clone()));
        let deletions = Arc::new(Deletions::new(
            store.clone(),
            journal.clone(),
            drivers.clone(),
            fleet.clone(),
            agents.clone(),
            tasks.clone(),
        ));
        let repositories = Arc::new(Repositories {
            fleet: fleet.clone(),
            agents: agents.clone(),
            credentials: credentials.clone(),
        });
        let build_logs = BuildLogs {
            fleet: fleet.clone(),
            agents: agents.clone(),
        };
        let stops = Arc::new(Stops::new(
            store.clone(),
            journal.clone(),
            drivers.clone(),
            fleet.clone(),
            agents.clone(),
            tasks.clone(),
        ));
        let uses = Uses::default();
        let keeper = Keeper {
            store: store.clone(),
            journal: journal.clone(),
            fleet: fleet.clone(),
            agents: agents.clone(),
            stops: stops.clone(),
            deletions: deletions.clone(),
            uses: uses.clone(),
            lifetimes: config.lifetimes,
            tasks: tasks.clone(),
        };
        let recovery = Arc::new(Recovery::new(
            store.clone(),
            drivers.clone(),
            deletions.clone(),
            fleet.clone(),
            agents.clone(),
            tasks.clone(),
        ));

        let probe = Probe::new(credentials.clone(), rules.clone(), tasks.clone());
        let probe = Arc::new(probe);
        let once = ProbeOnce::new(probe.clone(), rules.clone(), journal.clone(), tasks.clone());
        let max_streams = config.max_streams;
        let watching = Watching::new(store.clone(), feeds, max_streams, tasks.clone());
        let watching = Arc::new(watching);
        let certificate = PortCertificate::open(&config.identity, config.listen, &metrics)?;
        let listener = match &certificate {
            Some(_) => config.listening.bind_for_tls(config.listen).await?,
            None => config.listening.bind(config.listen).await?,
        };
        let listen = listener.local_addr()?;
        let port = match &certificate {
            Some(certificate) => Port::with_tls(listener, certificate.tls()),
            None => listener.into(),
        };
        let ca = certificate.as_ref().map(PortCertificate::ca);
        let accounts = ServiceAccounts::of_cluster(&config.identity.kubernetes_nodes)?;
        let enrolment = ca.clone().map(|ca| {
            let (store, fleet) = (store.clone(), fleet.clone());
            Arc::new(Enrolment::new(ca, store, fleet, accounts, &metrics))
        });
        let calls = CallMetrics::register(&metrics);
        let admin = Admin::bind(config.admin_listen, metrics).await?;
        let stack =
            Stack::new(&config.limits, calls.clone()).identifying(identify(&sessions, &access));
        let workspaces = Arc::new(Workspaces::new(
            store.clone(),
            journal,
            nodes.clone(),
            fleet.clone(),
            drivers,
            stops.clone(),
            tasks.clone(),
        ));
        let entrances = Entrances::new(workspaces.clone(), fleet.clone(), agents, uses.clone());
        let routes = routes(Served {
            pages: PageTokens::load(&*store).await?,
            access: access.clone(),
            issuer: ca.clone().map(|ca| ca as Arc<dyn CertificateIssuer>),
            max_message_bytes: config.limits.max_message_bytes(),
            stops,
            lifetimes: config.lifetimes,
            workspaces,
            entrances,
            uses,
            watching: watching.clone(),
            deletions,
            recovery: recovery.clone(),
            nodes,
            obstacle: admin.obstacle(),
            stopping: tasks.stopping().clone(),
            fleet: fleet.clone(),
            repositories,
            build_logs,
            default_images: default_images.all(),
            lease_seconds: config.node_lease_seconds,
            rules: rules.clone(),
            index: Arc::new(Index::new(resolving, rules.clone(), retention.clone())),
            entries: Arc::new(Entries::new(store.clone(), images)),
            explanations: Arc::new(Explanations::new(store.clone())),
            probe,
            signing,
            verification,
            enrolment,
            join_tokens: Arc::new(JoinTokens::new(store.clone(), ca)),
            secrets,
            logins: Arc::new(AttemptLogins::new(
                store.clone(),
                credentials,
                rules,
                Arc::new(once),
            )),
        });
        Ok(Self {
            store,
            fleet,
            counters,
            access,
            recovery,
            retention,
            watching,
            keeper,
            history_days: config.history_days,
            server: GrpcServer::new(routes, &stack, &config.limits, calls)?,
            tasks,
            addresses: Addresses {
                listen,
                admin: admin.address()?,
            },
            ready: admin.ready(),
            port,
            certificate,
            admin,
            ready_file: config.ready_file,
        })
    }

    /// The addresses, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop`, then ends its tasks. Attempts go on at their agents; the next start follows them again.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let tasks = self.tasks;
        let resumed = self.recovery.resume().await?;
        let (store, stopping) = (&self.store, tasks.stopping());
        let obstacle = self.admin.obstacle();
        let watched = upkeep::watch(store.clone(), obstacle, stopping.clone());
        tasks.spawn("database", watched);
        let days = self.history_days;
        let dropped = upkeep::drop_old_output(store.clone(), days, stopping.clone());
        tasks.spawn("old output", dropped);
        tasks.spawn("life of workspaces", self.keeper.run());
        tasks.spawn("unread streams", self.watching.end_unread());
        tasks.spawn("admin port", self.admin.serve(tasks.stopping().clone()));
        tasks.spawn("retention", self.retention.hourly());
        tasks.spawn("clients", self.access.keep(tasks.stopping().clone()));
        if let Some(certificate) = self.certificate {
            tasks.spawn("certificates", certificate.keep(tasks.stopping().clone()));
        }
        let shown = show_metrics(
            self.store.clone(),
            self.fleet,
            self.counters,
            tasks.stopping().clone(),
        );
        tasks.spawn("metrics", shown);
        let Addresses { listen, admin } = self.addresses;
        if let Some(path) = &self.ready_file {
            // The port is bound: connections are served from now on.
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
        let served = async {
            self.server.serve(self.port, stop.clone()).await;
            // When it ends by itself, the rest must not wait for a signal.
            stop.cancel();
        };
        tokio::join!(served, watchers);
        self.ready.store(false, Ordering::Relaxed);
        tasks.stop(DRAIN).await;
        self.store.close().await;
        tracing::info!("control plane ended");
        Ok(())
    }
}
