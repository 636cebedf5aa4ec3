//! What commands may use together, as control groups of the kernel limit it: those of the unified hierarchy, and those of
//! version 1.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Most that a command may use, with all that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory, files in its temporary folders included.
    pub memory_mib: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// The groups that this process has made.
static MADE: AtomicU64 = AtomicU64::new(0);
const ROOT: &str = "/sys/fs/cgroup";
/// The number of the agent's process follows.
const NAME: &str = "hearth-agent-";

/// The groups of this agent's commands.
#[derive(Debug)]
pub(super) struct Cgroups {
    unified: bool,
    /// The agent's folder, in each hierarchy.
    folders: Vec<PathBuf>,
    limits: Limits,
    /// Those whose last process had not ended yet.
    left: Mutex<Vec<PathBuf>>,
}

impl Cgroups {
    /// Removes what agents left that have ended, and tries whether groups can be made.
    pub(super) fn new(limits: Limits) -> io::Result<Arc<Self>> {
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        let hierarchies = if unified {
            fs::write(root.join("cgroup.subtree_control"), "+memory +pids")?;
            vec![root.to_owned()]
        } else {
            vec![root.join("memory"), root.join("pids")]
        };
        for hierarchy in &hierarchies {
            remove_those_of_the_dead(hierarchy)?;
        }
        let own = format!("{NAME}{}", std::process::id());
        let groups = Arc::new(Self {
            unified,
            folders: hierarchies
                .into_iter()
                .map(|hierarchy| hierarchy.join(&own))
                .collect(),
            limits,
            left: Mutex::default(),
        });
        drop(groups.group()?);
        Ok(groups)
    }

    /// A new group.
    pub(super) fn group(self: &Arc<Self>) -> io::Result<Group> {
        self.left
            .lock()
            .retain(|folder| fs::remove_dir(folder).is_err() && folder.exists());
        let group = Group {
            folders: self.unused(),
            groups: self.clone(),
        };
        let bytes = (self.limits.memory_mib << 20).to_string();
        for (own, folder) in self.folders.iter().zip(&group.folders) {
            fs::create_dir_all(own)?;
            if self.unified {
                fs::write(own.join("cgroup.subtree_control"), "+memory +pids")?;
            }
            fs::create_dir(folder)?;
        }
        let (memory, processes) = (&group.folders[0], &group.folders[group.folders.len() - 1]);
        fs::write(
            processes.join("pids.max"),
            self.limits.processes.to_string(),
        )?;
        if self.unified {
            fs::write(memory.join("memory.max"), &bytes)?;
            fs::write(memory.join("memory.oom.group"), "1")?;
            // Kernels without swap do not have it.
            let _ = fs::write(memory.join("memory.swap.max"), "0");
        } else {
            fs::write(memory.join("memory.limit_in_bytes"), &bytes)?;
            let _ = fs::write(memory.join("memory.memsw.limit_in_bytes"), &bytes);
        }
        Ok(group)
    }

    /// Folders for a new group. In containers agents have the same number of a process, one after the other or on one node.
    fn unused(&self) -> Vec<PathBuf> {
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed).to_string();
            let folders: Vec<_> = self.folders.iter().map(|own| own.join(&number)).collect();
            if !folders.iter().any(|folder| folder.exists()) {
                return folders;
            }
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for folder in self.left.get_mut().iter().chain(&self.folders) {
            // The next agent tries again.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A group; removed when it is dropped, or soon after.
#[derive(Debug)]
pub(in crate::external) struct Group {
    groups: Arc<Cgroups>,
    /// Its folder in each hierarchy, that of memory first.
    folders: Vec<PathBuf>,
}

impl Group {
    /// Files that a process writes `0` to in order to enter.
    pub(super) fn doors(&self) -> impl Iterator<Item = PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join("cgroup.procs"))
    }

    #[cfg(test)]
    pub(in crate::external) fn folder(&self) -> &Path {
        &self.folders[0]
    }

    /// What was exceeded so that the kernel ended a process, if that happened.
    pub(in crate::external) fn exceeded(&self) -> Option<String> {
        let file = if self.groups.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let told = fs::read_to_string(self.folders[0].join(file)).unwrap_or_default();
        let kills = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        let memory = self.groups.limits.memory_mib;
        kills
            .filter(|kills| kills.trim() != "0")
            .map(|_| format!("{memory} MiB of memory (--command-memory-mib of the agent)"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in self.folders.drain(..) {
            // The kernel may still be ending its processes.
            let is_left = fs::remove_dir(&folder).is_err() && folder.exists();
            if is_left {
                self.groups.left.lock().push(folder);
            }
        }
    }
}

fn remove_those_of_the_dead(hierarchy: &Path) -> io::Result<()> {
    for entry in fs::read_dir(hierarchy)? {
        let folder = entry?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let process = name
            .strip_prefix(NAME)
            .and_then(|number| number.parse().ok());
        let is_dead = |process: u32| !Path::new("/proc").join(process.to_string()).exists();
        if process.is_some_and(is_dead) {
            for group in fs::read_dir(&folder)?.flatten() {
                let _ = fs::remove_dir(group.path());
            }
            let _ = fs::remove_dir(&folder);
        }
    }
    Ok(())
}
