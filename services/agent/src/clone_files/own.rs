use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Uid, chownat};

use super::{
    error::CloneFileError,
    files::{CloneFiles, MAX_ENTRIES, check_count},
};

/// User and group of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl CloneFiles {
    /// Gives everything to `owner`; of a link the link itself, not its target.
    ///
    /// Names are looked up in open folders beneath the root, so nobody can have a file outside of it handed over by
    /// putting a link in a folder's place. A second name of a file from elsewhere (a hard link) would hand that over: the
    /// volume of an attempt is new, and is a mount of its own in everything that writes to it, over which the kernel makes
    /// no such links.
    pub fn give_to(&self, owner: Owner) -> Result<(), CloneFileError> {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let mut count = 0;
        let mut folders = vec![PathBuf::new()];
        while let Some(path) = folders.pop() {
            let folder = self.open_folder(&path)?;
            if path == Path::new("") {
                chownat(&folder, ".", Some(uid), Some(gid), AtFlags::empty())?;
            }
            for entry in folder.entries()? {
                self.go_on()?;
                count += 1;
                check_count(count, MAX_ENTRIES)?;
                let entry = entry?;
                let name = entry.file_name();
                chownat(
                    &folder,
                    &name,
                    Some(uid),
                    Some(gid),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
                if entry.file_type()?.is_dir() {
                    folders.push(path.join(name));
                }
            }
        }
        Ok(())
    }
}
