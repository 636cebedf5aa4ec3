//! Folders of programs outside of the system. A folder of `PATH` is shown by itself, and so is the folder that one of the
//! agent's programs is linked from; what belongs to its programs is shown too: what is around a folder `bin`, and the
//! packages beside one of npm. A home is never shown, nor a folder directly in it, but for the programs and libraries there.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::is_system;

/// Most links that lead to a program.
const MAX_LINKS: usize = 40;
/// Where libraries of the programs in a `bin` are.
const LIBRARIES: [&str; 3] = ["lib", "lib64", "libexec"];

#[derive(Clone, Debug)]
pub(super) struct Folders {
    folders: BTreeSet<PathBuf>,
    private: Vec<PathBuf>,
}

impl Folders {
    /// None yet. What holds one of `private`, or the home of the agent's user, is too wide.
    pub(super) fn new(private: &[PathBuf]) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let system = [
            "/root", "/home", "/etc", "/var/lib", "/var/run", "/run", "/proc", "/dev", "/sys",
        ];
        Self {
            folders: BTreeSet::new(),
            private: system
                .into_iter()
                .map(PathBuf::from)
                .chain(home.filter(|home| home.is_absolute()))
                .chain(private.iter().cloned())
                .collect(),
        }
    }

    /// The folders; none is in another.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Path> {
        let mut last: Option<&Path> = None;
        self.folders
            .iter()
            .map(PathBuf::as_path)
            .filter(move |folder| {
                let is_new = last.is_none_or(|last| !folder.starts_with(last));
                if is_new {
                    last = Some(folder);
                }
                is_new
            })
    }

    /// Whether commands see this path already.
    pub(super) fn has(&self, path: &Path) -> bool {
        is_system(path) || path.ancestors().any(|part| self.folders.contains(part))
    }

    /// Whether something private would be shown with it.
    pub(super) fn is_too_wide(&self, path: &Path) -> bool {
        !path.is_absolute() || self.private.iter().any(|private| private.starts_with(path))
    }

    /// Adds a folder as it is, because the operator says so.
    pub(super) fn add_whole(&mut self, folder: &Path) {
        self.folders.insert(folder.to_owned());
        if let Ok(real) = folder.canonicalize() {
            self.folders.insert(real);
        }
    }

    /// Adds a folder of programs, and the folder that it is a link to.
    pub(super) fn add(&mut self, folder: &Path) {
        self.add_by_name(folder);
        if let Ok(real) = folder.canonicalize() {
            self.add_by_name(&real);
        }
    }

    /// Adds the folders of a program, and of what it is a link to.
    pub(super) fn add_program(&mut self, program: &Path) {
        let mut program = program.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(Ok(folder)) = program.parent().map(Path::canonicalize) else {
                return;
            };
            self.add_by_name(&folder);
            match program.read_link() {
                Ok(target) => program = folder.join(target),
                Err(_) => return,
            }
        }
    }

    /// Adds a folder whose programs are links to elsewhere.
    pub(super) fn add_plugins(&mut self, folder: &Path) {
        self.add(folder);
        for plugin in folder.read_dir().into_iter().flatten().flatten() {
            self.add_program(&plugin.path());
        }
    }

    fn add_by_name(&mut self, folder: &Path) {
        if is_system(folder) || self.is_too_wide(folder) || !folder.is_dir() {
            return;
        }
        let mut outermost = folder
            .ancestors()
            .filter(|part| part.ends_with("node_modules"));
        if let Some(packages) = outermost.by_ref().last() {
            self.folders.insert(packages.to_owned());
            return;
        }
        if let (true, Some(prefix)) = (is_bin(folder), folder.parent()) {
            if !self.is_too_wide(prefix) && !self.is_in_home(prefix) {
                self.folders.insert(prefix.to_owned());
                return;
            }
            let libraries = LIBRARIES.map(|name| prefix.join(name));
            self.folders
                .extend(libraries.into_iter().filter(|folder| folder.is_dir()));
        }
        self.folders.insert(folder.to_owned());
    }

    /// Whether the folder is directly in somebody's home or configuration, where secrets are too.
    fn is_in_home(&self, folder: &Path) -> bool {
        let Some(parent) = folder.parent() else {
            return true;
        };
        parent.ends_with(".config")
            || parent.parent() == Some(Path::new("/home"))
            || self.private.iter().any(|private| private == parent)
    }
}

fn is_bin(folder: &Path) -> bool {
    folder.ends_with("bin") || folder.ends_with("sbin")
}

/// Where `program` is: itself if it is a path, or in the first folder of `path` that has it.
pub(in crate::external) fn find_program(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(program).ok().filter(is_program);
    }
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(is_program)
}
