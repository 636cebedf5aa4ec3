//! Paths of the node that a container asks for.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};

/// Where programs expect the engine's socket. It is mounted from where the node has it.
const USUAL_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// The places of the node that the door tells apart.
#[derive(Clone, Debug)]
pub struct Places {
    /// The engine's socket.
    pub engine: PathBuf,
    /// Folder of the workspace's volume.
    pub volume: Option<PathBuf>,
    /// Folder through which git in the workspace gets logins.
    pub helper: Option<PathBuf>,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the workspace's volume: the way from its root, and where that is on the node.
    Volume { inside: PathBuf, real: PathBuf },
    /// The folder of the credential helper.
    Helper,
    /// The engine's socket.
    Socket(PathBuf),
    /// A folder with the engine's socket in it.
    AboveSocket(PathBuf),
    /// Anything else, without links.
    Node(PathBuf),
    /// Nothing is there.
    Nothing(PathBuf),
}

impl Places {
    /// Follows the links of an absolute path, as the engine would. `create`: a folder that is missing in the volume is made.
    pub fn find(&self, path: &Path, create: bool) -> Place {
        if USUAL_SOCKETS.iter().any(|usual| path == Path::new(usual)) {
            return Place::Socket(self.engine.clone());
        }
        if self.helper.as_deref() == Some(path) {
            return Place::Helper;
        }
        let (real, missing) = match resolve(path) {
            Ok(found) => found,
            Err(_) => return Place::Nothing(path.to_owned()),
        };
        if let Some(inside) = self.inside_volume(&real) {
            if missing.as_os_str().is_empty() {
                return Place::Volume { inside, real };
            }
            let inside = inside.join(&missing);
            if create && self.make(&inside).is_ok() {
                let real = real.join(missing);
                return Place::Volume { inside, real };
            }
        }
        if !missing.as_os_str().is_empty() {
            return Place::Nothing(real.join(missing));
        }
        if self.is_engine(&real) {
            return Place::Socket(real);
        }
        let engine = fs::canonicalize(&self.engine).unwrap_or_else(|_| self.engine.clone());
        if engine.starts_with(&real) {
            return Place::AboveSocket(real);
        }
        Place::Node(real)
    }

    /// A path as the repository's files have it: relative to the clone where it was, as the engine keeps volumes at places
    /// of its own. The clone is a folder in the volume.
    pub fn shown(&self, path: &Path) -> PathBuf {
        let volume = self.volume.as_deref().unwrap_or(Path::new(""));
        // The folder of all volumes: volume/_data.
        let Some(all) = volume.parent().and_then(Path::parent) else {
            return path.to_owned();
        };
        if path.starts_with(volume) {
            let inside = path.components().skip(volume.components().count() + 1);
            return [Component::CurDir].into_iter().chain(inside).collect();
        }
        if !path.starts_with(all) {
            return path.to_owned();
        }
        let both = path.components().zip(volume.components());
        let common = both.take_while(|(a, b)| a == b).count();
        let up = volume.components().count() + 1 - common;
        let up = std::iter::repeat_n(Component::ParentDir, up);
        up.chain(path.components().skip(common)).collect()
    }

    /// Whether a path leads into the workspace's volume, where nothing is of the node.
    pub fn is_in_volume(&self, path: &Path) -> bool {
        self.inside_volume(path).is_some()
    }

    fn inside_volume(&self, real: &Path) -> Option<PathBuf> {
        let volume = fs::canonicalize(self.volume.as_ref()?).ok()?;
        Some(real.strip_prefix(volume).ok()?.to_owned())
    }

    /// Makes a folder in the volume, and follows no link out of it.
    fn make(&self, inside: &Path) -> io::Result<()> {
        let Some(volume) = &self.volume else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Dir::open_ambient_dir(volume, ambient_authority())?.create_dir_all(inside)
    }

    fn is_engine(&self, real: &Path) -> bool {
        let (Ok(engine), Ok(asked)) = (fs::metadata(&self.engine), fs::metadata(real)) else {
            return false;
        };
        asked.file_type().is_socket() && (asked.dev(), asked.ino()) == (engine.dev(), engine.ino())
    }
}

/// The longest part of a path that exists, without links, and the rest, which has no `..`.
fn resolve(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let mut there = path.to_owned();
    let mut missing = PathBuf::new();
    loop {
        match fs::canonicalize(&there) {
            Ok(real) => return Ok((real, missing)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // A link that leads nowhere is there: the engine would go where it leads.
        let last = there.components().next_back();
        let (Some(Component::Normal(name)), Err(_)) = (last, fs::symlink_metadata(&there)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let name = PathBuf::from(name);
        missing = if missing.as_os_str().is_empty() {
            name
        } else {
            name.join(missing)
        };
        there.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn a_path_is_shown_as_the_repository_has_it() {
        let places = Places {
            engine: "/run/docker.sock".into(),
            volume: Some("/var/lib/docker/volumes/hearth-ws-1/_data".into()),
            helper: None,
        };
        for (path, shown) in [
            (
                "hearth-ws-1/_data/app/.devcontainer/data",
                "./.devcontainer/data",
            ),
            ("hearth-ws-1/_data/app", "."),
            ("hearth-ws-1/_data", "."),
            ("hearth-ws-1", "../.."),
            ("hearth-ws-1/opts.json", "../../opts.json"),
            ("hearth-ws-2/_data/app", "../../../hearth-ws-2/_data/app"),
        ] {
            let path = Path::new("/var/lib/docker/volumes").join(path);
            assert_eq!(
                places.shown(&path).to_str(),
                Some(shown),
                "{}",
                path.display()
            );
        }
        for path in ["/etc", "/var/lib/docker", "/var/lib/docker/volumes-2/a"] {
            assert_eq!(places.shown(Path::new(path)), Path::new(path));
        }
        let without = Places {
            volume: None,
            ..places
        };
        assert_eq!(without.shown(Path::new("/etc")), Path::new("/etc"));
    }

    #[test]
    fn a_path_is_what_its_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for folder in ["volume/app", "run", "etc", "helper"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let _engine = UnixListener::bind(root.join("run/docker.sock")).unwrap();
        let _other = UnixListener::bind(root.join("etc/other.sock")).unwrap();
        fs::hard_link(root.join("run/docker.sock"), root.join("etc/second")).unwrap();
        symlink(root.join("etc"), root.join("volume/app/out")).unwrap();
        symlink("nowhere", root.join("volume/app/dangling")).unwrap();
        symlink("run", root.join("link")).unwrap();
        let places = Places {
            engine: root.join("run/docker.sock"),
            volume: Some(root.join("volume")),
            helper: Some(root.join("helper")),
        };
        let find = |path: &str, create| places.find(&root.join(path), create);
        let inside = |inside: &str| Place::Volume {
            inside: inside.into(),
            real: if inside.is_empty() {
                root.join("volume")
            } else {
                root.join("volume").join(inside)
            },
        };
        assert_eq!(find("volume", false), inside(""));
        assert_eq!(find("volume/app/../app/.", false), inside("app"));
        assert_eq!(
            find("volume/app/new/deep", false),
            Place::Nothing(root.join("volume/app/new/deep"))
        );
        assert_eq!(find("volume/app/new/deep", true), inside("app/new/deep"));
        assert!(root.join("volume/app/new/deep").is_dir());
        assert_eq!(find("volume/app/out", true), Place::Node(root.join("etc")));
        assert_eq!(
            find("volume/app/out/new", true),
            Place::Nothing(root.join("etc/new"))
        );
        assert!(!root.join("etc/new").exists());
        assert!(matches!(
            find("volume/app/dangling", true),
            Place::Nothing(_)
        ));
        assert!(!root.join("volume/app/nowhere").exists());
        assert!(matches!(
            find("volume/../etc/../missing/../etc", true),
            Place::Nothing(_)
        ));
        assert_eq!(find("helper", false), Place::Helper);
        assert_eq!(
            find("link/docker.sock", false),
            Place::Socket(root.join("run/docker.sock"))
        );
        assert_eq!(
            find("etc/second", false),
            Place::Socket(root.join("etc/second"))
        );
        assert_eq!(
            find("etc/other.sock", false),
            Place::Node(root.join("etc/other.sock"))
        );
        assert_eq!(find("run", false), Place::AboveSocket(root.join("run")));
        assert_eq!(find("", false), Place::AboveSocket(root.clone()));
        assert_eq!(
            places.find(Path::new("/"), false),
            Place::AboveSocket("/".into())
        );
        let usual = places.find(Path::new("/var/run/docker.sock"), false);
        assert_eq!(usual, Place::Socket(root.join("run/docker.sock")));
    }
}
