use std::{fs::File, io, path::PathBuf};

/// Where layers wait until they are sent.
#[derive(Clone, Debug)]
pub struct Spool {
    pub folder: PathBuf,
}

impl Spool {
    /// A file that is gone when it is closed, also by a kill.
    pub fn file(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.folder)
    }
}
