//! GitHub on loopback, as strict as the real one: an App with its installations and their tokens, git over HTTP, and
//! the token endpoint of a registry that real `docker-registry` processes trust.
//!
//! It runs on a thread of its own, so that a test may wait for a process that talks to it.

mod api;
mod app;
mod cgi;
mod clock;
mod controls;
mod faults;
mod git;
mod lfs;
mod mint;
mod questions;
mod records;
mod registry;
mod registry_tokens;
mod repositories;
mod respond;
mod routes;
mod server;
mod world;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
};

use tokio::sync::{oneshot, watch};

pub use faults::{Fault, Hold, Lie, Times};
pub use records::Seen;
pub use routes::Route;
pub use world::{Repositories, Visibility};

use self::{app::App, registry_tokens::Signer, world::World};

/// Permissions of an installation whose caches are read and written: all that hearth needs.
pub const WRITER: [(&str, &str); 3] = [
    ("contents", "read"),
    ("metadata", "read"),
    ("packages", "write"),
];

/// Permissions of an installation whose caches are only read.
pub const READER: [(&str, &str); 3] = [
    ("contents", "read"),
    ("metadata", "read"),
    ("packages", "read"),
];

/// The stand-in; gone when dropped.
pub struct GitHub {
    shared: Arc<Shared>,
    address: SocketAddr,
    dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handlers of requests share.
pub struct Shared {
    world: Mutex<World>,
    /// Wakes those who wait for a change of the world.
    changed: watch::Sender<()>,
    app: App,
    signer: Signer,
    repositories: PathBuf,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no request panics")
    }

    /// Changes the world and wakes those who wait for that.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.world());
        self.changed.send_replace(());
        result
    }

    /// Waits until the world is as it should be.
    async fn until(&self, is_so: impl Fn(&World) -> bool) {
        let mut changes = self.changed.subscribe();
        while !is_so(&self.world()) {
            changes.changed().await.expect("the sender is in `self`");
        }
    }
}

impl GitHub {
    /// A GitHub with an App and nothing else; keys and repositories lie below `dir`.
    pub async fn start(dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder");
        let repositories = dir.join("repositories");
        let shared = Arc::new(Shared {
            world: Mutex::new(World::default()),
            changed: watch::Sender::new(()),
            app: App::new(&dir),
            signer: Signer::new(&dir),
            repositories,
        });
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || server::run(shared, ready, stopped)
        });
        Self {
            shared,
            address: address.await.expect("the stand-in listens"),
            dir,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Base URL of the API and of the git host.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The App's id.
    pub fn app_id(&self) -> u64 {
        self.shared.app.id()
    }

    /// The App's private key as PKCS#8.
    pub fn key_file(&self) -> &Path {
        self.shared.app.pkcs8_file()
    }

    /// The same key as PKCS#1, which is what GitHub lets people download.
    pub fn pkcs1_key_file(&self) -> &Path {
        self.shared.app.pkcs1_file()
    }

    /// User and password that may do everything at the registry's token endpoint: for the set-up of tests.
    pub fn admin(&self) -> (&'static str, &str) {
        ("admin", self.shared.signer.admin_password())
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        // The thread may have ended by a panic, which it has reported then.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
