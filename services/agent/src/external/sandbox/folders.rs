//! Folders of programs outside of the system. A folder of `PATH` is shown by itself, and so is the folder that one of the
//! agent's programs is linked from; what belongs to its programs is shown too: what is around a folder `bin`, and the
//! packages beside one of npm. A home is never shown, nor a folder directly in it, but for the programs and libraries there.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Folders at the root that are the system's, or links into `/usr`.
pub(super) const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
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

/// Whether the path is the system's, which every command sees.
fn is_system(path: &Path) -> bool {
    SYSTEM
        .iter()
        .any(|name| path.starts_with(Path::new("/").join(name)))
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// A node with these programs and links to them, whose agent's home is `home`.
    struct Node(tempfile::TempDir);

    impl Node {
        fn new(programs: &[&str], links: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |path: &str| {
                let path = dir.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                path
            };
            for program in programs {
                fs::write(at(program), "").unwrap();
                fs::set_permissions(at(program), fs::Permissions::from_mode(0o755)).unwrap();
            }
            for (link, target) in links {
                let target = target.replace("NODE", dir.path().to_str().unwrap());
                symlink(target, at(link)).unwrap();
            }
            Self(dir)
        }

        /// What is shown when `PATH` has `folder`, and of `program` in it.
        fn shown(&self, folder: &str, program: &str) -> Vec<String> {
            let mut folders =
                Folders::new(&[self.0.path().join("home"), self.0.path().join("srv/state")]);
            let path = self.0.path().join(folder);
            folders.add(&path);
            let program = find_program(OsStr::new(program), path.as_os_str()).unwrap();
            folders.add_program(&program);
            let shown = folders
                .iter()
                .map(|folder| folder.strip_prefix(self.0.path()).unwrap());
            shown.map(|folder| folder.display().to_string()).collect()
        }
    }

    /// A folder of `PATH`, a program in it, files, links and their targets, and what is shown.
    type Case<'a> = (
        &'a str,
        &'a str,
        &'a [&'a str],
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
    );

    #[test]
    fn programs_are_shown_with_what_belongs_to_them_and_never_a_home() {
        let modules = "lib/node_modules/@devcontainers/cli/devcontainer.js";
        let cases: &[Case<'_>] = &[
            // nvm, in a home.
            (
                "home/.nvm/versions/node/v20/bin",
                "cli",
                &[&format!("home/.nvm/versions/node/v20/{modules}")],
                &[(
                    "home/.nvm/versions/node/v20/bin/cli",
                    &format!("../{modules}"),
                )],
                &["home/.nvm/versions/node/v20"],
            ),
            // npm with a prefix in the home, where logins may be beside the programs.
            (
                "home/.local/bin",
                "cli",
                &[
                    &format!("home/.local/{modules}"),
                    "home/.local/share/secret",
                ],
                &[("home/.local/bin/cli", &format!("../{modules}"))],
                &["home/.local/bin", "home/.local/lib"],
            ),
            (
                "home/bin",
                "cli",
                &["home/bin/cli", "home/.ssh/id"],
                &[],
                &["home/bin"],
            ),
            (
                "home/.cargo/bin",
                "cli",
                &["home/.cargo/bin/cli"],
                &[],
                &["home/.cargo/bin"],
            ),
            ("home", "cli", &["home/cli"], &[], &[]),
            // Beside the agent's state.
            (
                "srv/bin",
                "cli",
                &["srv/bin/cli", "srv/state/x"],
                &[],
                &["srv/bin"],
            ),
            // A folder of links to packages elsewhere, one by one and as a whole.
            (
                "tools",
                "cli",
                &["a/npm/node_modules/cli/main.js", "b/other"],
                &[
                    ("tools/cli", "NODE/a/npm/node_modules/.bin/cli"),
                    ("a/npm/node_modules/.bin/cli", "../cli/main.js"),
                ],
                &["a/npm/node_modules", "tools"],
            ),
            (
                "opt/current/bin",
                "cli",
                &["opt/v2/bin/cli", "opt/v2/libexec/cli/part"],
                &[("opt/current", "v2")],
                &["opt/current", "opt/v2"],
            ),
            // Links in a circle.
            (
                "tools",
                "cli",
                &["tools/cli"],
                &[("tools/round", "round")],
                &["tools"],
            ),
        ];
        for (folder, program, programs, links, expected) in cases {
            let node = Node::new(programs, links);
            assert_eq!(node.shown(folder, program), *expected, "{folder}");
        }
    }
}
