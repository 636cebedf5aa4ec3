//! What commands may use together, as control groups of the kernel limit it: those of the unified hierarchy, and those of
//! version 1.

use std::{
    fs::{self, File},
    io,
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

const ROOT: &str = "/sys/fs/cgroup";
/// The number of the agent's process follows, and letters that no other folder has.
const NAME: &str = "hearth-agent-";
/// What limits memory and processes in the unified hierarchy.
const CONTROLLERS: &str = "+memory +pids";
/// Where processes go that keep a group of the unified hierarchy from having limited ones in it.
const OTHERS: &str = "hearth-others";
/// How often processes are looked for that began meanwhile.
const ROUNDS: usize = 100;

/// The groups of this agent's commands.
#[derive(Debug)]
pub(super) struct Cgroups {
    unified: bool,
    /// The agent's folder, in each hierarchy.
    own: Vec<Own>,
    limits: Limits,
    made: AtomicU64,
    /// Those whose last process had not ended yet, and what they are in.
    left: Mutex<Vec<PathBuf>>,
}

impl Cgroups {
    /// Removes what agents left that have ended, and tries whether groups can be made.
    pub(super) fn new(limits: Limits) -> io::Result<Arc<Self>> {
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        let hierarchies = if unified {
            let_limit(root, CONTROLLERS)?;
            vec![root.to_owned()]
        } else {
            vec![root.join("memory"), root.join("pids")]
        };
        let mut left = Vec::new();
        for hierarchy in &hierarchies {
            left.extend(of_the_dead(hierarchy)?);
        }
        remove(&mut left);
        let own = hierarchies.iter().map(|hierarchy| Own::new(hierarchy));
        let own = own.collect::<io::Result<Vec<_>>>()?;
        if unified {
            let_limit(&own[0].folder, CONTROLLERS)?;
        }
        let groups = Arc::new(Self {
            unified,
            own,
            limits,
            made: AtomicU64::new(0),
            left: Mutex::new(left),
        });
        drop(groups.group()?);
        Ok(groups)
    }

    /// A new group.
    pub(super) fn group(self: &Arc<Self>) -> io::Result<Group> {
        remove(&mut self.left.lock());
        let number = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let folders = self.own.iter().map(|own| own.folder.join(&number));
        let group = Group {
            folders: folders.collect(),
            groups: self.clone(),
        };
        for folder in &group.folders {
            fs::create_dir(folder)?;
        }
        let bytes = (self.limits.memory_mib << 20).to_string();
        let (memory, processes) = (&group.folders[0], &group.folders[group.folders.len() - 1]);
        write(
            &processes.join("pids.max"),
            &self.limits.processes.to_string(),
        )?;
        if self.unified {
            write(&memory.join("memory.max"), &bytes)?;
            write(&memory.join("memory.oom.group"), "1")?;
            // Kernels without swap do not have it.
            let _ = write(&memory.join("memory.swap.max"), "0");
        } else {
            write(&memory.join("memory.limit_in_bytes"), &bytes)?;
            let _ = write(&memory.join("memory.memsw.limit_in_bytes"), &bytes);
        }
        Ok(group)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let mut left = std::mem::take(self.left.get_mut());
        left.extend(self.own.drain(..).map(|own| own.folder));
        // The next agent tries again.
        remove(&mut left);
    }
}

/// The agent's folder in a hierarchy.
#[derive(Debug)]
struct Own {
    folder: PathBuf,
    /// Locked as long as the agent lives. The number of its process says nothing: in containers agents have the same one.
    _lives: File,
}

impl Own {
    fn new(hierarchy: &Path) -> io::Result<Self> {
        let name = format!("{NAME}{}-", std::process::id());
        loop {
            let folder = tempfile::Builder::new()
                .prefix(&name)
                .tempdir_in(hierarchy)?;
            let folder = folder.keep();
            let lives = match File::open(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            lives.lock()?;
            // Another agent that starts at this moment removes it if it comes before the lock.
            if folder.exists() {
                return Ok(Self {
                    folder,
                    _lives: lives,
                });
            }
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
        remove(&mut self.folders);
        self.groups.left.lock().append(&mut self.folders);
    }
}

/// The groups of agents that have ended, those that are in others first.
fn of_the_dead(hierarchy: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(hierarchy)?.flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(NAME) {
            continue;
        }
        let is_dead = File::open(&folder).is_ok_and(|file| file.try_lock().is_ok());
        if is_dead && let Ok(groups) = fs::read_dir(&folder) {
            let groups = groups.flatten().map(|group| group.path());
            folders.extend(groups.filter(|group| group.is_dir()));
            folders.push(folder);
        }
    }
    Ok(folders)
}

/// Keeps those that cannot be removed yet: the kernel may still be ending their processes.
fn remove(folders: &mut Vec<PathBuf>) {
    folders.retain(|folder| fs::remove_dir(folder).is_err() && folder.exists());
}

/// Lets `controllers` limit the groups in this one of the unified hierarchy. The kernel refuses while the group has
/// processes itself. That of a container has: they go into a group beside.
fn let_limit(group: &Path, controllers: &str) -> io::Result<()> {
    for _ in 0..ROUNDS {
        match write(&group.join("cgroup.subtree_control"), controllers) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => make_room(group)?,
            done => return done,
        }
    }
    Err(io::Error::other(format!(
        "{} always has processes",
        group.display()
    )))
}

fn make_room(group: &Path) -> io::Result<()> {
    let others = group.join(OTHERS);
    fs::create_dir_all(&others)?;
    for process in fs::read_to_string(group.join("cgroup.procs"))?.lines() {
        // One that has ended is not there any more.
        let _ = fs::write(others.join("cgroup.procs"), process);
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests;
