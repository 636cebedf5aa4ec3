//! Writes the members of a layer as overlayfs has them (OCI image spec, "Image Layer Filesystem Changeset"; the kernel's
//! "Overlay Filesystem"). The rules are those of containerd's `archive.Apply`, whose result has to be the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, XattrFlags, linkat, makedev, mkdirat, mknodat,
        openat, setxattr, statat, symlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    archive::{Archive, Kind, Member},
    blocks::bad,
    data,
    metadata::{Given, copy, give, give_owner, give_time, give_unopened, mode, times},
    tree::{Folder, Implied, Place, Tree, beneath, place, readable},
};

/// What the name of a whiteout begins with.
const WHITEOUT: &[u8] = b".wh.";
/// Hides all that the layers below have in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A member, and what is wrong with it.
    #[error("{path}: {cause}")]
    Member {
        /// Its path.
        path: String,
        /// What happened.
        cause: io::Error,
    },
    /// Between two members.
    #[error("{0}")]
    Archive(#[from] io::Error),
}

impl LayerError {
    /// What happened.
    pub fn cause(&self) -> &io::Error {
        match self {
            Self::Member { cause, .. } | Self::Archive(cause) => cause,
        }
    }
}

/// A layer that is unpacked into a folder.
pub struct Unpacking {
    tree: Tree,
    /// Whether there are layers below it: a whiteout hides what they have.
    is_upper: bool,
    /// Folders get their times last: each member that is written into one changes it.
    times: BTreeMap<(Vec<u8>, Vec<u8>), (i64, i64)>,
    /// `None`: nothing is known to be given.
    given: Option<Given>,
}

impl Unpacking {
    /// Begins in an empty folder. The lowest layer has none below it.
    pub fn new(folder: &Path, is_upper: bool) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, folder, flags, Mode::empty())?;
        Ok(Self {
            given: Given::in_folder(&root).ok(),
            tree: Tree::new(root)?,
            is_upper,
            times: BTreeMap::new(),
        })
    }

    /// Writes all members of an archive. Returns the folders that they are in without saying what these are like.
    pub fn unpack(mut self, from: impl BufRead) -> Result<Implied, LayerError> {
        let mut archive = Archive::new(from);
        while let Some(member) = archive.next()? {
            let written = self.write(&member, &mut archive);
            written.map_err(|cause| LayerError::Member {
                path: String::from_utf8_lossy(&member.path).into_owned(),
                cause,
            })?;
        }
        for ((folder, name), modified) in &self.times {
            // Other members may have taken the place of the folder, or of one above it.
            let Ok(folder) = self.tree.existing_folder(folder) else {
                continue;
            };
            match utimensat(
                &folder,
                &name[..],
                &times(*modified),
                AtFlags::SYMLINK_NOFOLLOW,
            ) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        archive.finish()?;
        Ok(self.tree.implied())
    }

    fn write(&mut self, member: &Member, archive: &mut Archive<impl BufRead>) -> io::Result<()> {
        // The root is the engine's.
        let Some((path, name)) = place(&member.path)? else {
            return Ok(());
        };
        // Files get more than is known in a folder with a list of permissions for new ones.
        let mut attributes = member.attributes.iter();
        if attributes.any(|(name, _)| name.starts_with(b"system.")) {
            self.given = None;
        }
        let folder = self.tree.folder(&path)?;
        if name == OPAQUE {
            return self.make_opaque(folder.as_fd());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.hide(folder.as_fd(), hidden, member);
        }
        if member.kind == Kind::Folder {
            self.make_folder(&folder, &name, member)?;
            self.times.insert((path, name), member.modified);
            return Ok(());
        }
        match self.make(&folder, &name, member, archive) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.tree.remove(folder.as_fd(), &name)?;
                self.make(&folder, &name, member, archive)
            }
            other => other,
        }
    }

    fn make_opaque(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        if !self.is_upper {
            return Ok(());
        }
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let set = setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty());
        Ok(set?)
    }

    fn hide(&mut self, folder: BorrowedFd<'_>, hidden: &[u8], member: &Member) -> io::Result<()> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(bad("a whiteout hides nothing that can be"));
        }
        if !self.is_upper {
            return self.tree.remove(folder, hidden);
        }
        mknodat(folder, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
        give_owner(folder, hidden, member)
    }

    fn make_folder(&mut self, at: &Folder, name: &[u8], member: &Member) -> io::Result<()> {
        let folder = at.as_fd();
        let given = self.given.as_ref();
        let is_given = given.is_some_and(|given| given.is_all(at, member));
        match mkdirat(folder, name, new_mode(is_given, member, Mode::RWXU)) {
            Ok(()) if is_given => return self.tree.is_said(folder, name),
            Err(Errno::EXIST) => {
                let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                    self.tree.remove(folder, name)?;
                    mkdirat(folder, name, Mode::RWXU)?;
                }
            }
            other => other?,
        }
        self.tree.is_said(folder, name)?;
        give(readable(folder, name)?, member)
    }

    /// Makes all but folders.
    fn make(
        &mut self,
        at: &Folder,
        name: &[u8],
        member: &Member,
        archive: &mut Archive<impl BufRead>,
    ) -> io::Result<()> {
        let folder = at.as_fd();
        let given = self.given.as_ref();
        let device = |kind, number| -> io::Result<()> {
            mknodat(folder, name, kind, Mode::RUSR, number)?;
            give_owner(folder, name, member)?;
            give_unopened(folder, name, member, false)
        };
        match &member.kind {
            Kind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let is_given = given.is_some_and(|given| given.is_all(at, member));
                let mode = new_mode(is_given, member, Mode::RUSR | Mode::WUSR);
                let file = File::from(openat(folder, name, flags, mode)?);
                data::write(&file, member, archive)?;
                if !is_given {
                    give(&file, member)?;
                }
                give_time(&file, member.modified)
            }
            Kind::SymbolicLink(target) => {
                symlinkat(&target[..], folder, name)?;
                if !given.is_some_and(|given| given.is_owner(at, member)) {
                    give_owner(folder, name, member)?;
                }
                give_unopened(folder, name, member, true)
            }
            Kind::HardLink(target) => {
                self.link(folder, name, place(target)?)?;
                // Archives repeat what the file is like, and containerd heeds it.
                let linked = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let is_symbolic = FileType::from_raw_mode(linked.st_mode) == FileType::Symlink;
                give_owner(folder, name, member)?;
                give_unopened(folder, name, member, is_symbolic)
            }
            Kind::CharacterDevice(major, minor) => {
                device(FileType::CharacterDevice, makedev(*major, *minor))
            }
            Kind::BlockDevice(major, minor) => {
                device(FileType::BlockDevice, makedev(*major, *minor))
            }
            Kind::Pipe => device(FileType::Fifo, 0),
            Kind::Folder => unreachable!("folders are made elsewhere"),
        }
    }

    fn link(&self, folder: BorrowedFd<'_>, name: &[u8], target: Place) -> io::Result<()> {
        let (target, target_name) = target.ok_or_else(|| bad("a hard link leads to the root"))?;
        let target = self.tree.existing_folder(&target)?;
        Ok(linkat(
            &target,
            &target_name[..],
            folder,
            name,
            AtFlags::empty(),
        )?)
    }
}

/// The permissions to make a file with: those that it is to have, or at first those that nobody else can use.
fn new_mode(is_given: bool, member: &Member, at_first: Mode) -> Mode {
    match is_given {
        true => mode(member.mode),
        false => at_first,
    }
}

/// Gives folders of a layer that it says nothing about what they are like in the layers below it, the uppermost first.
pub fn complete(layer: &Path, implied: &Implied, below: &[PathBuf]) -> io::Result<()> {
    let root = |path: &Path| -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, path, flags, Mode::empty())?)
    };
    if implied.is_empty() {
        return Ok(());
    }
    let own = root(layer)?;
    let below = below
        .iter()
        .map(|path| root(path))
        .collect::<io::Result<Vec<_>>>()?;
    // From the inside: what is done within a folder does not change its times any more.
    for path in implied.iter().rev() {
        let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        let Some(to) = beneath(own.as_fd(), path)
            .ok()
            .map(|to| readable(to.as_fd(), b"."))
        else {
            continue;
        };
        for lower in &below {
            match beneath(lower.as_fd(), path) {
                Ok(from) => {
                    copy(readable(from.as_fd(), b".")?, to?)?;
                    break;
                }
                Err(Errno::NOENT) => {}
                // Something else was there, and the folder took its place.
                Err(_) => break,
            }
        }
    }
    Ok(())
}
