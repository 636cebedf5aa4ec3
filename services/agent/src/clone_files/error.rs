use std::io;

/// A file of a clone cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CloneFileError {
    /// A link, or `..`, leads out of the clone.
    #[error("leads out of the repository")]
    LeadsOut,
    /// It is larger than the caller takes.
    #[error("has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size, or what was seen of it.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A folder, pipe, socket or device: reading one may never end.
    #[error("is {0}, and has to be a file")]
    NotAFile(&'static str),
    /// There is more than anybody writes on purpose.
    #[error("has {0}; hearth goes no further")]
    TooMuch(String),
    /// A text in an encoding that nothing here reads.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// The attempt has ended meanwhile.
    #[error("is not needed any more: the attempt has ended")]
    Stopped,
    /// Anything else, for example that it does not exist.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for CloneFileError {
    fn from(error: io::Error) -> Self {
        // cap-std makes this error itself. One that comes from the kernel has a number.
        let is_made = error.raw_os_error().is_none();
        if is_made && error.kind() == io::ErrorKind::PermissionDenied {
            Self::LeadsOut
        } else {
            Self::Io(error)
        }
    }
}

impl From<rustix::io::Errno> for CloneFileError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl CloneFileError {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}
