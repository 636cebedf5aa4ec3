//! Wires the agent: `build` checks the node and binds its ports, `run` owns the tasks.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use hearth_api::v1::agent_service_server::AgentServiceServer;
use hearth_runtime::{CallMetrics, GrpcServer, Stack, write_ready_file};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    attempt::Attempts,
    build_log::BuildLogs,
    config::Config,
    configurations::Configurations,
    connection,
    credentials::GitAccess,
    default_images::{Prefetching, ToldImages},
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Space},
    door::Doors,
    engine_health::{EngineHealth, connected},
    enter::Entering,
    external::{
        Externals, NodeExternals,
        control_plane::TrustedKeys,
        devcontainer::DevcontainerCli,
        engine::{DockerEngine, EngineInfo},
        git::GitCli,
        process,
        registry::OciRegistry,
        sandbox::Sandbox,
    },
    folders,
    identity::reach,
    leftovers::Leftovers,
    metrics::AgentMetrics,
    neighbourhood::Neighbourhood,
    owners::Owners,
    pipeline::{Halts, NodeFacts, Runner},
    ports::Ports,
    registration::{Registration, node_info},
    service::{Agent, Stops},
};

/// How long attempts may take to stop when the agent shuts down.
const DRAIN: Duration = Duration::from_secs(20);

/// How unlikely the agent is to be ended when memory is short; as Docker does for itself.
const OOM_SCORE: &str = "-500";

/// An agent that has bound its ports and does not serve yet.
pub struct App {
    config: Config,
    ports: Ports,
    externals: Externals,
    node: Arc<NodeFacts>,
    registration: Registration,
    git_access: GitAccess,
    attempts: Attempts,
    entering: Arc<Entering>,
    /// Keeps other agents off the state folder until this one has ended.
    lock: File,
}

impl App {
    /// An agent with Docker, git, the devcontainer CLI and registries. Waits for Docker.
    ///
    /// # Errors
    ///
    /// When the process is not root's, the state folder's path is too long, or bubblewrap or the CLI cannot be used;
    /// otherwise as [`Self::build_with`].
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the agent needs root: it clones into Docker's volumes and hands files to the users of containers"
        );
        let state_dir = folders::state_dir(&config.state_dir)?;
        // COPY counts file modes: the same clone must have the same ones on every node.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        // When memory is short the kernel ends commands and containers first.
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
            tracing::info!(
                %error,
                "/proc/self/oom_score_adj cannot be written: when memory is short, the kernel may end the agent before commands and containers"
            );
        }
        let limits = config.command_limits();
        let sandbox = Sandbox::new(
            &config.command_folders,
            std::slice::from_ref(&state_dir),
            limits,
        )?;
        process::check(&sandbox).await?;
        let ports = Ports::bind(&config).await?;
        let clones = config.clones().context("--workspaces-dir")?;
        if let Some(folder) = &clones {
            folders::make_private(folder)
                .with_context(|| format!("--workspaces-dir: {}", folder.display()))?;
        }
        let docker = || {
            let engine = DockerEngine::connect(&config.docker_host)?;
            Ok(engine.with_clones_in(clones.clone()))
        };
        let (engine, info) = connected(docker).await;
        let engine = engine
            .moving_images(
                &config.containerd,
                &info.platform,
                config.registry_mirror.clone(),
                (&state_dir, config.min_free_disk_mib << 20),
                &ports.metrics,
            )
            .await?;
        let engine = Arc::new(engine);
        let externals = NodeExternals {
            engine: engine.clone(),
            execs: engine,
            git: Arc::new(GitCli::new(sandbox.clone())),
            devcontainer: Arc::new(DevcontainerCli::new(
                sandbox,
                config.devcontainer_cli.clone(),
            )),
            registry: Arc::new(OciRegistry::new(info.platform.clone())),
        };
        Self::assemble(config, ports, externals, info).await
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
        let ports = Ports::bind(&config).await?;
        Self::assemble(config, ports, on_node, info).await
    }

    async fn assemble(
        config: Config,
        ports: Ports,
        on_node: NodeExternals,
        info: EngineInfo,
    ) -> anyhow::Result<Self> {
        let cli_version = on_node.devcontainer.version().await.map_err(|failure| {
            anyhow::anyhow!("--devcontainer-cli (HEARTH_DEVCONTAINER_CLI): {failure}")
        })?;
        let attempts_dir = config.state_dir.join("attempts");
        std::fs::create_dir_all(&attempts_dir)
            .with_context(|| format!("--state-dir: {}", attempts_dir.display()))?;
        let lock = folders::lock_state(&config.state_dir).await?;
        let reached = reach(
            &config.control_plane,
            &config.node_name,
            &config.joining,
            &config.state_dir,
            &ports.obstacle,
            &ports.tasks,
        );
        let mut control_plane = Box::pin(reached).await?;
        if let Some(file) = &config.cache_public_key {
            control_plane = control_plane.trusting(pinned_keys(file)?);
        }
        let entering = Arc::new(Entering::new(
            on_node.engine.clone(),
            on_node.execs.clone(),
            ports.tasks.clone(),
            config.max_sessions,
            &config.state_dir,
        )?);
        let externals = on_node.with_control_plane(&control_plane);
        let (metrics, tasks) = (&ports.metrics, &ports.tasks);
        let neighbourhood =
            Neighbourhood::open(&config.neighbours, &control_plane, metrics, tasks).await?;

        let images = ImagesInUse::default();
        let data_root = info.data_root.clone();
        let disk = Arc::new(DiskKeeper::new(
            move || Space::of(&data_root),
            config.disk_watermarks(),
            images.clone(),
            &config.state_dir,
            DiskMetrics::new(&ports.metrics),
        ));
        let attempts = Attempts::new(ports.tasks.clone()).at_most(config.max_attempts);
        let health = EngineHealth::default();
        let owners = Owners::load(&config.state_dir, config.quarantine(), &ports.metrics);
        let git_access = GitAccess::new(
            // The engine mounts them: a relative path would mean nothing to it.
            std::path::absolute(config.state_dir.join("workspaces"))?,
            externals.credentials.clone(),
            ports.tasks.clone(),
        );
        let leftovers = Arc::new(Leftovers::new(
            externals.engine.clone(),
            git_access.clone(),
            owners.clone(),
            &ports.metrics,
        ));
        let registration = Registration {
            attempts: attempts.clone(),
            owners,
            leftovers,
            attempts_dir,
            control_plane,
            node: config.node_name.to_string(),
            info: node_info(&info, &cli_version),
            disk: disk.clone(),
            health: health.clone(),
            engine: externals.engine.clone(),
            told_images: ToldImages::default(),
        };
        let node = Arc::new(NodeFacts {
            platform: info.platform,
            store: info.store,
            cli_version,
            default_image: config.default_image.clone(),
            min_free_disk_bytes: config.min_free_disk_mib << 20,
            push_timeout: config.push_timeout(),
            audit_percent: config.cache_audit_percent,
            build_logs: BuildLogs::new(config.state_dir.join("build-logs"), ports.tasks.clone()),
            images,
            neighbourhood,
            disk,
            policy: config.policy(),
            engine: health,
            data_root: info.data_root,
        });
        Ok(Self {
            config,
            ports,
            externals,
            node,
            registration,
            git_access,
            attempts,
            entering,
            lock,
        })
    }

    /// Serves until `stop` is cancelled, then stops all attempts.
    ///
    /// # Errors
    ///
    /// When attempts did not stop within 20 s.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let _lock = self.lock;
        let Ports {
            listener,
            admin,
            ready,
            obstacle,
            closed,
            metrics,
            tasks,
        } = self.ports;
        let listen = listener.local_addr()?;
        let engine = self.externals.engine.clone();
        self.git_access.resume(engine.as_ref()).await;
        let (attempts_dir, leftovers) = (
            self.registration.attempts_dir.clone(),
            self.registration.leftovers.clone(),
        );
        leftovers.find(&attempts_dir)?;
        let configurations = Configurations::new(
            self.externals.git.clone(),
            self.config.state_dir.join("listings"),
            tasks.clone(),
        );
        let runner = Arc::new(Runner {
            node: self.node.clone(),
            externals: self.externals,
            attempts_dir,
            git_access: self.git_access,
            doors: Doors::to(&self.config.docker_host),
            metrics: AgentMetrics::new(&metrics),
            leftovers: leftovers.clone(),
            halts: Halts::default(),
        });
        let service = Agent {
            attempts: self.attempts,
            stops: Stops::new(tasks.clone(), "stop workspace", 0),
            entering: self.entering,
            runner,
            owners: self.registration.owners.clone(),
            configurations,
            tasks: tasks.clone(),
            boot_id: self.registration.info.boot_id.clone(),
        };
        let (limits, calls) = (&self.config.limits, CallMetrics::register(&metrics));
        let service =
            AgentServiceServer::new(service).max_decoding_message_size(limits.max_message_bytes());
        let (routes, stack) = (Routes::new(service), Stack::new(limits, calls.clone()));
        let control_plane = self.registration.control_plane.clone();
        let called = stack.clone().for_one_caller().in_front_of(routes.clone());
        tasks.spawn(
            "connection",
            connection::keep(control_plane, called, stop.clone()),
        );
        let prefetching = Prefetching {
            engine: engine.clone(),
            disk: self.node.disk.clone(),
            min_free_disk_bytes: self.node.min_free_disk_bytes,
            own: self.node.default_image.clone(),
            told: self.registration.told_images.clone(),
            refresh: self.config.default_image_refresh(),
        };
        tasks.spawn("default images", prefetching.run(stop.clone()));
        let server = GrpcServer::new(routes, &stack, limits, calls)?;
        tasks.spawn("registration", self.registration.run(stop.clone()));
        tasks.spawn(
            "disk",
            self.node.disk.clone().run(engine.clone(), stop.clone()),
        );
        ready.store(true, Ordering::Relaxed);
        let (health, ended) = (self.node.engine.clone(), stop.clone());
        tasks.spawn("engine", async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = health.watch(engine.as_ref(), &obstacle) => {}
                () = leftovers.run(health.problem()) => {}
            }
        });
        tracing::info!(
            node = %self.config.node_name,
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
        tokio::join!(server.serve(listener, stop.clone()), attempts_end);
        closed.cancel();
        if !tasks.stop(DRAIN).await {
            bail!("some attempts did not stop within {} s", DRAIN.as_secs());
        }
        Ok(())
    }
}

fn pinned_keys(file: &Path) -> anyhow::Result<TrustedKeys> {
    let about = || {
        format!(
            "--cache-public-key (HEARTH_CACHE_PUBLIC_KEY): {}",
            file.display()
        )
    };
    let text = std::fs::read_to_string(file).with_context(about)?;
    let keys = text.parse().with_context(about)?;
    Ok(TrustedKeys::pinned(keys))
}
