//! Files in which a push keeps what it makes until it is sent. They never fill the disk that they are on.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

/// Where these files are, and how much is left free there.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    reserve: u64,
}

/// A file that is gone when it is closed, also by a kill.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    file: File,
    spool: Spool,
}

impl Spool {
    /// In a folder, on whose disk so many bytes stay free.
    pub fn new(folder: &Path, reserve: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve,
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An empty file.
    pub fn file(&self) -> io::Result<SpoolFile> {
        self.check(0)?;
        Ok(SpoolFile {
            file: tempfile::tempfile_in(&self.folder)?,
            spool: self.clone(),
        })
    }

    /// Fails if the disk has no room for so many bytes more, whoever has filled it.
    fn check(&self, bytes: usize) -> io::Result<()> {
        let stat = statvfs(&self.folder)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free.saturating_sub(bytes as u64) >= self.reserve {
            return Ok(());
        }
        let what = format!(
            "{} MiB are free, and {} MiB have to stay free",
            free >> 20,
            self.reserve >> 20
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, what))
    }
}

impl SpoolFile {
    /// The file, to be read.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn into_file(self) -> File {
        self.file
    }

    /// The same file once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            spool: self.spool.clone(),
        })
    }
}

impl Write for &SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.check(bytes.len())?;
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_stay_free_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let all = Spool::new(folder.path(), 0);
        let mut file = all.file().unwrap();
        file.write_all(b"some").unwrap();
        assert_eq!(file.file().metadata().unwrap().len(), 4);
        // As if the disk had filled up meanwhile.
        file.spool.reserve = u64::MAX;
        let error = file.write(b"more").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.into_file().metadata().unwrap().len(), 4);
        let none = Spool::new(folder.path(), u64::MAX).file().unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::StorageFull);
    }
}
