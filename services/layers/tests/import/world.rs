//! An engine, and what is in its store.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use hearth_domain::Login;
use hearth_layers::{ImportError, Importer, Near, Pulled};
use hearth_tests::{Vm, process};

pub struct Engine {
    pub vm: Vm,
}

impl Engine {
    pub fn start() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("/dev/shm/hearth-import-{}-{number}", std::process::id());
        Self::at(folder.into())
    }

    pub fn at(folder: PathBuf) -> Self {
        Self {
            vm: Vm::start(folder),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.vm.dir().join("containerd.sock")
    }

    pub fn importer(&self) -> Importer {
        Importer::new(&self.socket(), "linux/amd64")
    }

    pub async fn import(&self, image: &str) -> Result<Pulled, ImportError> {
        self.importer()
            .import(image, None, Near::default(), |_| {})
            .await
    }

    pub async fn import_as(&self, image: &str, login: &Login) -> Result<Pulled, ImportError> {
        self.importer()
            .import(image, Some(login), Near::default(), |_| {})
            .await
    }

    pub fn pull(&self, image: &str) {
        self.vm.docker(&["pull", "--quiet", image]);
    }

    pub fn ctr(&self, arguments: &[&str]) -> String {
        let output = Command::new("ctr")
            .env("PATH", process::path())
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "moby"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The folders of a snapshot and of those below it, the lowest first.
    pub fn folders(&self, chain: &str) -> Vec<PathBuf> {
        self.ctr(&["snapshots", "prepare", "test", chain]);
        let mount = self.ctr(&["snapshots", "mounts", "/nowhere", "test"]);
        self.ctr(&["snapshots", "remove", "test"]);
        let folders = mount.split("lowerdir=").nth(1).unwrap();
        let folders = folders.split([',', ' ', '\n']).next().unwrap();
        folders.split(':').rev().map(PathBuf::from).collect()
    }

    /// What an import could leave: names of images, snapshots and blobs, leases, and folders of snapshots.
    pub fn contents(&self) -> BTreeSet<String> {
        // Garbage is collected.
        self.ctr(&["content", "prune", "references"]);
        let mut found = BTreeSet::new();
        for list in [&["images"][..], &["snapshots"], &["content"], &["leases"]] {
            let list = [list, &["list"]].concat();
            let lines = self.ctr(&list);
            let names = lines
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().next());
            found.extend(names.map(|name| format!("{} {name}", list[0])));
        }
        found.extend(
            self.ctr(&["content", "active"])
                .lines()
                .skip(1)
                .map(|line| format!("ingest {line}")),
        );
        found
    }

    /// How many folders of snapshots there are.
    pub fn snapshot_folders(&self) -> usize {
        let snapshots = "containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
        std::fs::read_dir(self.vm.dir().join(snapshots)).map_or(0, Iterator::count)
    }
}
