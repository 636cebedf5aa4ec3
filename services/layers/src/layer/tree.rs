//! The folder that a layer is written into. Nothing is written outside of it: paths are resolved as if it were the root of
//! the file system (`openat2` with `RESOLVE_IN_ROOT`), and the last part of a path is never followed.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
    rc::Rc,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2,
        statat, unlinkat,
    },
    io::Errno,
};

use super::blocks::bad;

/// Bytes of a folder's path: with the longest name in it, Linux' limit.
const MAX_PATH: usize = 4096 - 256;

/// Folders that a layer writes into without saying what they are like. They are like those in the layers below it.
pub type Implied = BTreeSet<PathBuf>;

/// A path of an archive: the folder, and the name in it. `None` for the root itself.
pub type Place = Option<(Vec<u8>, Vec<u8>)>;

/// See the module.
pub struct Tree {
    root: OwnedFd,
    /// Where the root is, as the kernel says it.
    path: PathBuf,
    implied: Implied,
    /// The folder that was last written into: members come folder by folder.
    last: Option<(Vec<u8>, Rc<Folder>)>,
}

/// An open folder that members are written into.
pub struct Folder {
    folder: OwnedFd,
    /// Its group, which the kernel may give to new files in it.
    pub group: u32,
    /// Whether it has set-group-id, which the kernel gives to new folders in it.
    pub is_set_group_id: bool,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Tree {
    pub fn new(root: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            path: own_path(&root)?,
            root,
            implied: Implied::new(),
            last: None,
        })
    }

    /// Opens the folder `path`, and makes what is missing of it.
    pub fn folder(&mut self, path: &[u8]) -> io::Result<Rc<Folder>> {
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return Ok(folder.clone());
        }
        let folder = match self.resolve(path) {
            Err(Errno::NOENT) => self.make(path)?,
            other => other?,
        };
        // Links in the archive can make a path longer than any that can be said to the kernel, and so removed by it.
        if own_path(&folder)?.as_os_str().len() > MAX_PATH {
            return Err(bad("its path is too long"));
        }
        let stat = fstat(&folder)?;
        let folder = Rc::new(Folder {
            folder,
            group: stat.st_gid,
            is_set_group_id: stat.st_mode & Mode::SGID.bits() != 0,
        });
        self.last = Some((path.to_vec(), folder.clone()));
        Ok(folder)
    }

    /// Opens the folder `path`, which has to be there.
    pub fn existing_folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(self.resolve(path)?)
    }

    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        beneath(self.root.as_fd(), path)
    }

    fn make(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut parent = self.root.try_clone()?;
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at);
        let mut from = 0;
        for end in ends.chain([path.len()]).collect::<Vec<_>>() {
            parent = match self.resolve(&path[..end]) {
                Err(Errno::NOENT) => {
                    // A link that leads nowhere is in the way, and an error.
                    mkdirat(&parent, &path[from..end], Mode::from_raw_mode(0o755))?;
                    let made = self.resolve(&path[..end])?;
                    let place = own_path(&made)?;
                    let place = place
                        .strip_prefix(&self.path)
                        .map_err(|_| bad("a folder has moved"))?;
                    self.implied.insert(place.to_owned());
                    made
                }
                other => other?,
            };
            from = end + 1;
        }
        Ok(parent)
    }

    /// The archive says what the folder `name` in `folder` is like.
    pub fn is_said(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        if self.implied.is_empty() {
            return Ok(());
        }
        let place = own_path(folder)?.join(OsStr::from_bytes(name));
        if let Ok(place) = place.strip_prefix(&self.path) {
            self.implied.remove(place);
        }
        Ok(())
    }

    /// Removes `name` in `folder` with all that is in it, to make room for another member of this path.
    pub fn remove(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        // What was opened by a path that led through it is not there any more.
        self.last = None;
        remove_all(folder, name)
    }

    /// Which folders the archive did not say anything about.
    pub fn implied(self) -> Implied {
        self.implied
    }
}

/// Splits the path of a member. `..` is resolved within the path, as containerd does, and does not lead above the root.
pub fn place(path: &[u8]) -> io::Result<Place> {
    if path.contains(&0) {
        return Err(bad("a path has a zero"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let name = parts.pop();
    Ok(name.map(|name| (parts.join(&b'/'), name.to_vec())))
}

/// Opens a folder beneath a root, wherever links lead from the root's point of view.
pub fn beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    loop {
        match openat2(root, path, flags, Mode::empty(), within) {
            // A folder was renamed somewhere meanwhile, and the kernel could not be sure.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// A folder, opened for reading.
pub fn readable(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::empty())?)
}

fn remove_all(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let is_folder = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_folder {
        return Ok(unlinkat(folder, name, AtFlags::empty())?);
    }
    // A path has at most 4 KiB, and so many open folders: not by recursion.
    let mut open_folders = vec![(readable(folder, name)?, name.to_vec())];
    while let Some((current, current_name)) = open_folders.last() {
        let mut inner = None;
        for entry in Dir::read_from(current)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            match unlinkat(current, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {
                    inner = Some((readable(current.as_fd(), name)?, name.to_vec()));
                    break;
                }
                other => other?,
            }
        }
        match inner {
            Some(inner) => open_folders.push(inner),
            None => {
                let name = current_name.clone();
                open_folders.pop();
                let parent = open_folders
                    .last()
                    .map_or(folder, |(parent, _)| parent.as_fd());
                unlinkat(parent, &name[..], AtFlags::REMOVEDIR)?;
            }
        }
    }
    Ok(())
}

/// Where an open folder is.
fn own_path(folder: impl AsFd) -> io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    let path = rustix::fs::readlinkat(CWD, link, Vec::new())?;
    Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
}
