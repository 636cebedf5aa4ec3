//! The files of a clone or a volume, which come from a repository that is not trusted: the one way in which the agent
//! reads, copies, hands over and removes them.
//!
//! Every path is resolved beneath a root, by the kernel where it can (`openat2` with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_MAGICLINKS`, Linux 5.6): a link inside is followed, one that leads out is an error. Only regular files are
//! read, and of each at most what its reader takes; a pipe, a device or a file without end neither hangs nor fills anything.
//! Walks use no stack, go so deep and no deeper, and end with the attempt that they work for.

mod copy;
mod error;
mod files;
mod own;
mod remove;
mod work;

#[cfg(test)]
#[path = "clone_files/hostile_tests.rs"]
mod hostile_tests;

pub use copy::NewFolder;
pub use error::CloneFileError;
pub use files::{CloneFiles, Entry, EntryKind};
pub use own::Owner;
pub use remove::remove_folder;
pub use work::FileWork;
