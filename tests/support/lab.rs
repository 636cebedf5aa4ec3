//! A whole hearth: registry, git server, control plane, and as many nodes as a test wants.

use std::path::{Path, PathBuf};

use hearth_api::v1::{Node, NodeState};

use super::{
    Agent, Client, ControlPlane, GitHub, GitServer, Proxy, Registry, Vm,
    process::{PATIENCE, eventually},
};

/// One test's world; everything in it ends with it.
pub struct Lab {
    // Fields are dropped in this order: what uses others first.
    pub client: Client,
    pub agents: Vec<Agent>,
    pub control_plane: ControlPlane,
    pub vms: Vec<Vm>,
    /// Has the base image, and the cache of a world without logins.
    pub registry: Registry,
    /// Of a world with logins.
    pub guarded: Option<Guarded>,
    pub git: GitServer,
    pub base: String,
    dir: tempfile::TempDir,
}

/// GitHub, and the registry that accepts its tokens and nothing else.
pub struct Guarded {
    /// A proxy that refuses as GHCR does.
    pub front: Option<Proxy>,
    pub registry: Registry,
    pub github: GitHub,
}

impl Guarded {
    /// `localhost:port` that caches are pushed to.
    pub fn host(&self) -> String {
        self.front
            .as_ref()
            .map_or_else(|| self.registry.host(), Proxy::host)
    }
}

impl Lab {
    /// A world with `nodes` nodes that caches in its registry.
    pub async fn new(nodes: usize) -> Self {
        Self::with_cache_at(nodes, |registry| registry.host()).await
    }

    /// A world that caches where `cache` says.
    pub async fn with_cache_at(nodes: usize, cache: impl FnOnce(&Registry) -> String) -> Self {
        let dir = folder();
        let registry = Registry::start(dir.path().join("registry"));
        let control_plane =
            ControlPlane::start(dir.path().join("control-plane"), &cache(&registry));
        let mut lab = Self::around(dir, registry, None, control_plane);
        for _ in 0..nodes {
            lab.add_node(&[]).await;
        }
        lab
    }

    /// A world with GitHub in it: the control plane has the key of an App, caches are in a registry that takes tokens of
    /// the App's installations, and the base image in a public one.
    pub async fn guarded(nodes: usize) -> Self {
        Self::guarded_with(nodes, &[]).await
    }

    /// The same; the control plane gets `extra` flags.
    pub async fn guarded_with(nodes: usize, extra: &[&str]) -> Self {
        Self::with_github(nodes, false, extra).await
    }

    /// The same with a registry that refuses as GHCR does: by 403, with a reason.
    pub async fn ghcr(nodes: usize) -> Self {
        Self::with_github(nodes, true, &[]).await
    }

    async fn with_github(nodes: usize, as_ghcr: bool, extra: &[&str]) -> Self {
        let dir = folder();
        let registry = Registry::start(dir.path().join("registry"));
        let github = GitHub::start(dir.path().join("github")).await;
        // Engines tell registries apart by their host without its port. They think that the base image is in the registry
        // of the caches, and ask that one for the right to take its layers from there.
        github.publish_package("base/tiny");
        let cache = Registry::start_guarded(dir.path().join("guarded-registry"), &github);
        let front = if as_ghcr {
            Some(Proxy::ghcr(&cache).await)
        } else {
            None
        };
        let guarded = Guarded {
            front,
            registry: cache,
            github,
        };
        let control_plane = ControlPlane::start_with_app(
            dir.path().join("control-plane"),
            &guarded.host(),
            &guarded.github,
            extra,
        );
        let mut lab = Self::around(dir, registry, Some(guarded), control_plane);
        for _ in 0..nodes {
            lab.add_node(&[]).await;
        }
        lab
    }

    fn around(
        dir: tempfile::TempDir,
        registry: Registry,
        guarded: Option<Guarded>,
        control_plane: ControlPlane,
    ) -> Self {
        Self {
            client: Client::new(&control_plane.url()),
            agents: Vec::new(),
            control_plane,
            vms: Vec::new(),
            git: GitServer::start(dir.path().join("git")),
            base: format!("{}/base/tiny:1", registry.host()),
            registry,
            guarded,
            dir,
        }
    }

    /// GitHub, in a guarded world.
    pub fn github(&self) -> &GitHub {
        &self.guarded.as_ref().expect("a guarded world").github
    }

    /// The registry that has the caches.
    pub fn cache(&self) -> &Registry {
        self.guarded
            .as_ref()
            .map_or(&self.registry, |guarded| &guarded.registry)
    }

    /// The same world, caching at another registry; before any node is added.
    pub fn caching_at(mut self, registry: &str) -> Self {
        assert!(self.agents.is_empty());
        self.control_plane = ControlPlane::start(self.folder("control-plane-2"), registry);
        self.client = Client::new(&self.control_plane.url());
        self
    }

    /// Adds a node with an empty engine; its agent gets `extra` flags.
    pub async fn add_node(&mut self, extra: &[&str]) -> usize {
        let number = self.vms.len() + 1;
        let vm = Vm::start(self.folder(&format!("vm{number}")));
        self.add_node_on(vm, extra).await
    }

    /// Adds a node on this engine.
    pub async fn add_node_on(&mut self, vm: Vm, extra: &[&str]) -> usize {
        let number = self.vms.len() + 1;
        if self.vms.is_empty() {
            self.registry.tiny_base(&vm).await;
            // An empty engine again: an attempt that needs the base image fetches it.
            vm.docker(&["image", "rm", "--force", &self.base]);
        }
        let node = format!("node-{number}");
        let agent = Agent::start(
            &node,
            self.folder(&node),
            &vm,
            &self.control_plane.url(),
            &self.base,
            extra,
        );
        self.vms.push(vm);
        self.agents.push(agent);
        let client = self.client.clone();
        let mut online = false;
        for _ in 0..200 {
            online = client.nodes().await.iter().any(|known| known.name == node);
            if online {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        assert!(
            online,
            "{node} never registered: {}",
            self.agents[number - 1].process().log()
        );
        number
    }

    /// Waits until a node can take work.
    pub async fn until_online(&self, node: &str) {
        let wait = async {
            loop {
                let nodes = self.client.nodes().await;
                let is_online =
                    |known: &Node| known.name == node && known.state() == NodeState::Online;
                if nodes.iter().any(is_online) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, wait).await;
        assert!(done.is_ok(), "{node} never came online");
    }

    /// Everything that this world writes: its own folder, and those that engines have elsewhere because paths of sockets
    /// are limited in length.
    pub fn folders(&self) -> Vec<PathBuf> {
        let engines = self.vms.iter().map(Vm::run_dir);
        std::iter::once(self.dir.path().to_path_buf())
            .chain(engines)
            .collect()
    }

    /// A folder for something of this world.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The cache's path in the registry for a repository of the git server.
    pub fn cache_path(&self, url: &str) -> String {
        let registry = self.registry.host().parse().expect("a registry");
        let repository = url.parse().expect("a repository");
        let reference =
            hearth_domain::CacheReference::new(&registry, &repository, None).expect("a place");
        reference
            .repository()
            .as_str()
            .split_once('/')
            .expect("a path")
            .1
            .to_owned()
    }

    /// Waits until an engine has no container and no volume of a workspace.
    pub async fn assert_nothing_left(&self, node: usize) {
        let vm = &self.vms[node - 1];
        eventually("nothing of a workspace is left on the node", || {
            vm.docker(&["ps", "--all", "--quiet"]).is_empty()
                && vm.docker(&["volume", "ls", "--quiet"]).is_empty()
        })
        .await;
    }
}

/// A folder for everything, on tmpfs where there is one: engines write a lot.
fn folder() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() {
        shm.to_path_buf()
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("hearth-")
        .tempdir_in(parent)
        .expect("a folder")
}
