//! Wires the agent: `build` checks the node and binds its ports, `run` owns the tasks.

use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use hearth_api::v1::{ImageStore, NodeInfo, agent_service_server::AgentServiceServer};
use hearth_runtime::{Admin, GrpcServer, LockError, Metrics, Tasks, lock_file, write_ready_file};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    attempt::Attempts,
    config::Config,
    credentials::GitAccess,
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Space},
    door::Doors,
    external::{
        Externals, NodeExternals,
        control_plane::ControlPlaneClient,
        devcontainer::DevcontainerCli,
        engine::{DockerEngine, Engine as _, EngineInfo},
        git::GitCli,
        registry::OciRegistry,
    },
    metrics::AgentMetrics,
    pipeline::{NodeFacts, Runner},
    registration::Registration,
    service::Agent,
    sweep::sweep,
};

/// How long attempts may take to stop when the agent shuts down.
const DRAIN: Duration = Duration::from_secs(20);

/// Longest path of the state folder, in bytes. The socket of an attempt's door is `attempts/ID-NUMBER/docker.sock` in it, and
/// Linux takes 107 bytes.
const MAX_STATE_DIR: usize = 64;

/// An agent that has bound its ports and does not serve yet.
pub struct App {
    config: Config,
    listener: TcpListener,
    admin: Admin,
    metrics: Metrics,
    externals: Externals,
    node: Arc<NodeFacts>,
    registration: Registration,
    attempts: Attempts,
    tasks: Tasks,
    /// Keeps other agents off the state folder until this one has ended.
    lock: File,
}

impl App {
    /// An agent with Docker, git, the devcontainer CLI and registries.
    ///
    /// # Errors
    ///
    /// When the process is not root's, the state folder's path is too long, or Docker or the CLI cannot be used; otherwise as [`Self::build_with`].
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the agent needs root: it clones into Docker's volumes and hands files to the users of containers"
        );
        let state_dir = std::path::absolute(&config.state_dir)?;
        ensure!(
            state_dir.as_os_str().len() <= MAX_STATE_DIR,
            "--state-dir (HEARTH_STATE_DIR): {} is too long: sockets are made in it, whose paths are limited; it may have {MAX_STATE_DIR} bytes",
            state_dir.display()
        );
        // COPY counts file modes: the same clone must have the same ones on every node.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let engine = DockerEngine::connect(&config.docker_host)?;
        let info = engine.describe().await?;
        let externals = NodeExternals {
            engine: Arc::new(engine),
            git: Arc::new(GitCli::default()),
            devcontainer: Arc::new(DevcontainerCli::new(config.devcontainer_cli.clone())),
            registry: Arc::new(OciRegistry::new(info.platform.clone())),
        };
        Self::build_with(config, externals, info).await
    }

    /// An agent with these externals, which needs no root. Removes what an earlier process of the agent left unfinished.
    ///
    /// # Errors
    ///
    /// When the CLI has no version, an address or the state folder cannot be used, or the engine does not answer.
    pub async fn build_with(
        config: Config,
        on_node: NodeExternals,
        info: EngineInfo,
    ) -> anyhow::Result<Self> {
        let cli_version = on_node.devcontainer.version().await.map_err(|failure| {
            anyhow::anyhow!("--devcontainer-cli (HEARTH_DEVCONTAINER_CLI): {failure}")
        })?;
        let listener = config.listening.bind(config.listen).await?;
        let metrics = Metrics::default();
        let admin = Admin::bind(config.admin_listen, metrics.clone()).await?;

        let control_plane = ControlPlaneClient::new(config.control_plane.clone());
        let externals = on_node.with_control_plane(&control_plane);
        let attempts_dir = config.state_dir.join("attempts");
        std::fs::create_dir_all(&attempts_dir)
            .with_context(|| format!("--state-dir: {}", attempts_dir.display()))?;
        // Before the sweep, which would take the work of another agent for leftovers.
        let lock = lock_state(&config.state_dir).await?;
        sweep(externals.engine.as_ref(), &attempts_dir).await?;

        let images = ImagesInUse::default();
        let data_root = info.data_root.clone();
        let disk = Arc::new(DiskKeeper::new(
            move || Space::of(&data_root),
            config.disk_watermarks(),
            images.clone(),
            &config.state_dir,
            DiskMetrics::new(&metrics),
        ));
        let tasks = Tasks::default();
        let attempts = Attempts::new(tasks.clone());
        let registration = Registration {
            attempts: attempts.clone(),
            control_plane,
            node: config.node_name.clone(),
            info: node_info(&info, &cli_version, listener.local_addr()?),
            disk: disk.clone(),
            engine: externals.engine.clone(),
        };
        let node = Arc::new(NodeFacts {
            platform: info.platform,
            store: info.store,
            cli_version,
            default_image: config.default_image.clone(),
            min_free_disk_bytes: config.min_free_disk_mib << 20,
            push_timeout: config.push_timeout(),
            images,
            disk,
            policy: config.policy(),
        });
        Ok(Self {
            config,
            listener,
            admin,
            metrics,
            externals,
            node,
            registration,
            attempts,
            tasks,
            lock,
        })
    }

    /// Serves until `stop` is cancelled, then stops all attempts.
    ///
    /// # Errors
    ///
    /// When attempts did not stop within 20 s, or serving failed.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let _lock = self.lock;
        let (listen, admin) = (self.listener.local_addr()?, self.admin.address()?);
        let tasks = self.tasks;
        let git_access = GitAccess::new(
            // The engine mounts them: a relative path would mean nothing to it.
            std::path::absolute(self.config.state_dir.join("workspaces"))?,
            self.externals.credentials.clone(),
            tasks.clone(),
        );
        git_access.resume(self.externals.engine.as_ref()).await?;
        let engine = self.externals.engine.clone();
        let service = Agent {
            attempts: self.attempts,
            runner: Arc::new(Runner {
                node: self.node.clone(),
                externals: self.externals,
                attempts_dir: self.config.state_dir.join("attempts"),
                git_access,
                doors: Doors::to(&self.config.docker_host),
                metrics: AgentMetrics::new(&self.metrics),
            }),
            tasks: tasks.clone(),
            boot_id: self.registration.info.boot_id.clone(),
        };
        let server = GrpcServer::new(Routes::new(AgentServiceServer::new(service)))?;
        let ready = self.admin.ready();
        // The admin port answers while attempts end.
        let closed = CancellationToken::new();
        tasks.spawn("admin", self.admin.serve(closed.clone()));
        tasks.spawn("registration", self.registration.run(stop.clone()));
        tasks.spawn("disk", self.node.disk.clone().run(engine, stop.clone()));
        ready.store(true, Ordering::Relaxed);
        tracing::info!(
            node = self.config.node_name,
            %listen,
            %admin,
            store = ?self.node.store,
            devcontainer_cli = self.node.cli_version,
            "hearth-agent {} serves",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(file) = &self.config.ready_file {
            write_ready_file(file, listen, admin)?;
        }
        let stopping = tasks.stopping().clone();
        let attempts_end = async {
            stop.cancelled().await;
            ready.store(false, Ordering::Relaxed);
            // Attempts settle before the server closes their streams.
            stopping.cancel();
        };
        let (served, ()) = tokio::join!(server.serve(self.listener, stop.clone()), attempts_end);
        closed.cancel();
        if !tasks.stop(DRAIN).await {
            bail!("some attempts did not stop within {} s", DRAIN.as_secs());
        }
        served
    }
}

fn node_info(info: &EngineInfo, cli_version: &str, listen: SocketAddr) -> NodeInfo {
    NodeInfo {
        endpoint: format!("http://{listen}"),
        boot_id: uuid::Uuid::new_v4().to_string(),
        platform: info.platform.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: info.version.clone(),
        image_store: ImageStore::into(info.store),
        devcontainer_cli_version: cli_version.to_owned(),
        cpus: info.cpus,
        memory_bytes: info.memory_bytes,
        disk_free_bytes: 0,
    }
}

/// Locks the state folder: its attempts and the node's workspaces belong to one agent.
async fn lock_state(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("agent.lock");
    lock_file(&path).await.map_err(|error| match error {
        LockError::InUse => anyhow::anyhow!(
            "--state-dir (HEARTH_STATE_DIR): another agent uses {}; stop it, or give this one a folder and an engine of its own",
            folder.display()
        ),
        LockError::Io(cause) => anyhow::anyhow!("{}: {cause}", path.display()),
    })
}
