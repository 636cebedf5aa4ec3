//! Owners, permissions, times and extended attributes of what was written.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
        fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, lsetxattr, openat,
        utimensat,
    },
    io::Errno,
};

use super::{
    archive::{Kind, Member},
    tree::Folder,
};

/// What the kernel gives new files in the folder of a layer. Most members say the same, which then has not to be said again.
pub struct Given {
    owner: (u32, u32),
    /// Permissions that it leaves.
    permissions: u32,
}

impl Given {
    /// Tries it in a folder.
    pub fn in_folder(folder: impl AsFd) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let probe = openat(folder, ".", flags, mode(0o777))?;
        let stat = fstat(probe)?;
        Ok(Self {
            owner: (stat.st_uid, stat.st_gid),
            // Some kernels do not take the umask away from files without a name.
            permissions: stat.st_mode & 0o755,
        })
    }

    /// Whether a new file in `folder` has the owner that its member says.
    pub fn is_owner(&self, folder: &Folder, member: &Member) -> bool {
        // The group can be that of the folder.
        self.owner == member.owner && self.owner.1 == folder.group
    }

    /// Whether a new file or folder in `folder` that is made with the member's permissions is as its member says, but for
    /// its time.
    pub fn is_all(&self, folder: &Folder, member: &Member) -> bool {
        let is_mode = member.mode & !self.permissions == 0;
        let inherits = member.kind == Kind::Folder && folder.is_set_group_id;
        is_mode && !inherits && member.attributes.is_empty() && self.is_owner(folder, member)
    }
}

/// Gives an open file or folder what its member says, except for its time.
pub fn give(file: impl AsFd, member: &Member) -> io::Result<()> {
    let file = file.as_fd();
    // The order counts: a change of the owner takes set-user-id and capabilities away.
    fchown(file, Some(uid(member)), Some(gid(member)))?;
    for (name, value) in &member.attributes {
        endured(fsetxattr(file, &name[..], value, XattrFlags::empty()), name)?;
    }
    fchmod(file, mode(member.mode))?;
    Ok(())
}

/// Gives what cannot be opened, such as a link or a device, what its member says, but for the owner. It is in a folder and is
/// not followed.
pub fn give_unopened(
    folder: BorrowedFd<'_>,
    name: &[u8],
    member: &Member,
    is_link: bool,
) -> io::Result<()> {
    if !member.attributes.is_empty() {
        let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        for (name, value) in &member.attributes {
            let set = lsetxattr(&path[..], &name[..], value, XattrFlags::empty());
            endured(set, name)?;
        }
    }
    if !is_link {
        chmodat(folder, name, mode(member.mode), AtFlags::empty())?;
    }
    let times = times(member.modified);
    Ok(utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives it the owner that its member says, and nothing else.
pub fn give_owner(folder: BorrowedFd<'_>, name: &[u8], member: &Member) -> io::Result<()> {
    let (uid, gid) = (Some(uid(member)), Some(gid(member)));
    Ok(chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// What a file system or a kind of file cannot have is left out, as containerd does.
fn endured(result: Result<(), Errno>, name: &[u8]) -> io::Result<()> {
    match result {
        Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM) if name.starts_with(b"user.") => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Gives an open file its time.
pub fn give_time(file: impl AsFd, modified: (i64, i64)) -> io::Result<()> {
    futimens(file, &times(modified)).map_err(io::Error::from)
}

/// Gives a folder what another folder has.
pub fn copy(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let stat = fstat(from)?;
    fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    let mut names = vec![0; 64 * 1024];
    let length = flistxattr(from, &mut names[..])?;
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // Those of overlayfs say something about the folder's own layer.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0; 64 * 1024];
        let length = fgetxattr(from, name, &mut value[..])?;
        endured(
            fsetxattr(to, name, &value[..length], XattrFlags::empty()),
            name,
        )?;
    }
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let modified = (
        stat.st_mtime,
        i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    );
    give_time(to, modified)
}

pub fn times((seconds, nanoseconds): (i64, i64)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

fn uid(member: &Member) -> Uid {
    Uid::from_raw(member.owner.0)
}

fn gid(member: &Member) -> Gid {
    Gid::from_raw(member.owner.1)
}
