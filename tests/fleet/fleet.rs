//! A control plane and its nodes, each on a runtime of its own, so that it can be killed like a process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Parser as _;
use hearth_agent::{
    app::App,
    config::Config as AgentConfig,
    external::{NodeExternals, engine::EngineInfo},
};
use hearth_api::v1::{Event, PrepareWorkspaceRequest, event::Kind};
use hearth_control_plane::{Config, ControlPlane};
use hearth_tests::{
    client::{Client, Story, request},
    process::PATIENCE,
};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, UnboundedReceiver},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    external::{Builds, FakeEngine, FakeRegistry, info, on_node},
    follow::follow,
    interpreter::Interpreter,
    line::Line,
    speech::{Speech, Version},
};

/// A control plane and nodes; all of it ends when it is dropped.
pub struct Fleet {
    pub client: Client,
    pub nodes: Vec<Node>,
    pub builds: Arc<Builds>,
    pub registry: Arc<FakeRegistry>,
    /// From the nodes to the control plane.
    pub line: Line,
    plane: Option<Service>,
    /// What stands in front of the control plane, where nodes and clients are of another version.
    interpreter: Option<Interpreter>,
    address: SocketAddr,
    flags: Vec<String>,
    dir: tempfile::TempDir,
}

/// A node with its agent.
pub struct Node {
    pub name: String,
    pub engine: Arc<FakeEngine>,
    state: PathBuf,
    /// What its agent is started with.
    world: (AgentConfig, NodeExternals, EngineInfo),
    agent: Option<Service>,
}

impl Fleet {
    /// A control plane with these `flags` and as many nodes as asked for, all of them registered.
    pub async fn new(nodes: usize, flags: &[&str]) -> Self {
        Self::at(Arc::default(), nodes, flags).await
    }

    /// One whose control plane takes its nodes and clients for those of another version, and the other way round.
    pub async fn speaking(version: Version, nodes: usize) -> Self {
        Self::made(Arc::default(), nodes, &[], Some(version)).await
    }

    /// One whose caches are in this registry.
    pub async fn at(registry: Arc<FakeRegistry>, nodes: usize, flags: &[&str]) -> Self {
        Self::made(registry, nodes, flags, None).await
    }

    async fn made(
        registry: Arc<FakeRegistry>,
        nodes: usize,
        flags: &[&str],
        version: Option<Version>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--cache-registry={}", registry.host()));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (plane, address) = start_plane(dir.path(), any, &flags).await;
        let interpreter = match version {
            Some(version) => Some(Interpreter::to(address, Speech::of(version)).await),
            None => None,
        };
        let reached = interpreter.as_ref().map_or(address, |one| one.address);
        let mut fleet = Self {
            client: Client::new(&format!("http://{reached}")),
            nodes: Vec::new(),
            builds: Arc::default(),
            registry,
            line: Line::to(reached).await,
            plane: Some(plane),
            interpreter,
            address,
            flags,
            dir,
        };
        for number in 1..=nodes {
            let name = format!("node-{number}");
            let node = fleet.start_node(&name, &[]).await;
            fleet.nodes.push(node);
        }
        fleet.until_online(nodes).await;
        fleet
    }

    /// Adds a node whose agent has these flags.
    pub async fn add_node(&mut self, name: &str, flags: &[&str]) {
        let node = self.start_node(name, flags).await;
        self.nodes.push(node);
        self.until_online(self.nodes.len()).await;
    }

    /// How the other version speaks.
    pub fn speech(&self) -> &Speech {
        let interpreter = self.interpreter.as_ref();
        &interpreter.expect("there is another version").speech
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    async fn start_node(&self, name: &str, flags: &[&str]) -> Node {
        let folder = self.dir.path().join(name);
        let volumes = folder.join("volumes");
        std::fs::create_dir_all(&volumes).expect("a folder");
        let (engine, externals) = on_node(name, &volumes, &self.registry, &self.builds);
        let config = agent_config(name, &folder, self.line.address, flags);
        let mut node = Node {
            name: name.to_owned(),
            engine,
            state: folder.join("state"),
            world: (config, externals, info(&volumes)),
            agent: None,
        };
        node.start().await;
        node
    }

    async fn until_online(&self, count: usize) {
        let all = async {
            while self.client.nodes().await.len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let online = tokio::time::timeout(PATIENCE, all).await;
        online.expect("all nodes register");
    }

    /// Waits until a node has sent two heartbeats: it has then read the answer to the first.
    pub async fn until_heard(&self, name: &str) {
        let heard = async {
            let (mut last, mut times) = (self.heartbeat(name).await, 0);
            while times < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let now = self.heartbeat(name).await;
                times += u32::from(now != last);
                last = now;
            }
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        heard.expect("the node sends heartbeats");
    }

    async fn heartbeat(&self, name: &str) -> Option<String> {
        let nodes = self.client.nodes().await;
        let node = nodes.into_iter().find(|node| node.name == name);
        let time = node.expect("a node of this name").heartbeat_time;
        time.map(|time| format!("{time:?}"))
    }

    /// A node by its name.
    pub fn node(&mut self, name: &str) -> &mut Node {
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        node.expect("a node of this name")
    }

    /// Asks for workspaces, all at once: each by a node's name (empty: any node) and a repository.
    pub fn prepare<'a>(
        &self,
        wishes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Preparations {
        let wishes = wishes
            .into_iter()
            .map(|(node, repository)| request(node, repository));
        Preparations::begin(&self.client, wishes)
    }

    /// Stops the control plane and starts it again at its address with its database.
    pub async fn restart_control_plane(&mut self, how: Stop) {
        self.restart_with(how, async |_| {}).await;
    }

    /// The same, after something was done to the database while nobody used it.
    pub async fn restart_with(&mut self, how: Stop, change: impl AsyncFnOnce(&Path)) {
        let plane = self.plane.take().expect("it runs");
        plane.stop(how).await;
        let database = self.dir.path().join("hearth.db");
        until_closed(&database).await;
        change(&database).await;
        let (plane, _) = start_plane(self.dir.path(), self.address, &self.flags).await;
        self.plane = Some(plane);
    }
}

/// A control plane that is killed here is a runtime that has gone: the threads of its database end a little later.
async fn until_closed(database: &Path) {
    let name = database.to_str().expect("a path");
    let is_open = || {
        let open = std::fs::read_dir("/proc/self/fd").expect("open files");
        let mut paths = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        paths.any(|path| path.to_string_lossy().starts_with(name))
    };
    let closed = async {
        while is_open() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let closed = tokio::time::timeout(PATIENCE, closed).await;
    closed.expect("the database is closed");
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if let Some(plane) = self.plane.take() {
            plane.kill();
        }
    }
}

impl Node {
    /// Starts its agent, which was killed.
    pub async fn start(&mut self) {
        let (config, externals, info) = self.world.clone();
        let agent = Service::start(async move {
            let app = App::build_with(config, externals, info).await?;
            Ok(((), |stop| app.run(stop)))
        });
        self.agent = Some(agent.await.0);
    }

    /// How many attempts have not settled, by their folders.
    pub fn attempts(&self) -> usize {
        let folders = std::fs::read_dir(self.state.join("attempts"));
        folders.expect("the folder of attempts").count()
    }

    /// Asks its agent to end, and waits until it has.
    pub async fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop(Stop::Orderly).await;
        }
    }

    /// Ends its agent without a warning, and everything that it was doing.
    pub fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
    }
}

/// A repository of the world's git server, by its number.
pub fn repository(number: usize) -> String {
    format!("https://git.example/fleet/app-{number}")
}

/// One whose configuration names an image and adds nothing to it; it has a hook that READY waits for.
pub fn image_only(number: usize) -> String {
    format!("https://git.example/image-only/app-{number}")
}

/// One with a Dockerfile and a hook that READY waits for.
pub fn with_hook(number: usize) -> String {
    format!("https://git.example/hook/app-{number}")
}

/// Workspaces that are being prepared.
pub struct Preparations {
    stories: JoinSet<Story>,
    events: UnboundedReceiver<Event>,
}

impl Preparations {
    fn begin(client: &Client, requests: impl Iterator<Item = PrepareWorkspaceRequest>) -> Self {
        let (ear, events) = mpsc::unbounded_channel();
        let mut stories = JoinSet::new();
        for request in requests {
            stories.spawn(follow(client.clone(), request, ear.clone()));
        }
        Self { stories, events }
    }

    /// Waits until `count` more matching events have arrived, of any of the workspaces.
    pub async fn until(&mut self, count: usize, is_so: impl Fn(&Kind) -> bool) {
        let mut heard = 0;
        let all = async {
            while heard < count {
                let event = self.events.recv().await.expect("more events");
                heard += usize::from(event.kind.as_ref().is_some_and(&is_so));
            }
        };
        let enough = tokio::time::timeout(PATIENCE, all).await;
        assert!(enough.is_ok(), "{heard} of {count} events were heard");
    }

    /// The stories of all workspaces once they have settled; each log is complete.
    pub async fn stories(self) -> Vec<Story> {
        let stories = self.stories.join_all().await;
        for story in &stories {
            story.assert_whole();
        }
        stories
    }
}

fn agent_config(
    name: &str,
    folder: &Path,
    control_plane: SocketAddr,
    flags: &[&str],
) -> AgentConfig {
    let own = [
        "hearth-agent",
        "--listen=127.0.0.1:0",
        "--admin-listen=127.0.0.1:0",
        "--insecure-loopback",
        "--min-free-disk-mib=0",
        &format!("--node-name={name}"),
        &format!("--state-dir={}", folder.join("state").display()),
        &format!("--control-plane=http://{control_plane}"),
    ];
    AgentConfig::try_parse_from(own.iter().chain(flags)).expect("a good command line")
}

async fn start_plane(dir: &Path, listen: SocketAddr, flags: &[String]) -> (Service, SocketAddr) {
    let database: PathBuf = dir.join("hearth.db");
    let own = [
        "hearth-control-plane".to_owned(),
        format!("--listen={listen}"),
        "--admin-listen=127.0.0.1:0".to_owned(),
        "--insecure-loopback".to_owned(),
        format!("--database=sqlite://{}", database.display()),
        format!("--signing-key={}", dir.join("signing.pem").display()),
    ];
    let config = Config::read(own.iter().chain(flags)).expect("a good command line");
    Service::start(async move {
        let plane = ControlPlane::build(config).await?;
        Ok((plane.addresses().listen, |stop| plane.run(stop)))
    })
    .await
}

/// How a service ends.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// As after SIGTERM.
    Orderly,
    /// As after SIGKILL.
    Killed,
}

/// A service on a runtime of its own.
struct Service {
    runtime: Runtime,
    stop: CancellationToken,
    run: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Builds a service and runs it; returns the other result of `build` too.
    async fn start<T, R, F>(
        build: impl Future<Output = anyhow::Result<(T, R)>> + Send + 'static,
    ) -> (Self, T)
    where
        T: Send + 'static,
        R: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (told, run) = runtime
            .spawn(build)
            .await
            .expect("no panic")
            .expect("it starts");
        let stop = CancellationToken::new();
        let run = runtime.spawn(run(stop.clone()));
        (Self { runtime, stop, run }, told)
    }

    async fn stop(self, how: Stop) {
        if let Stop::Orderly = how {
            self.stop.cancel();
            let ended = tokio::time::timeout(PATIENCE, self.run).await;
            let ended = ended.expect("it ends").expect("no panic");
            ended.expect("an orderly end");
            self.runtime.shutdown_background();
        } else {
            self.kill();
        }
    }

    /// All its tasks and connections are gone at their next step.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}
