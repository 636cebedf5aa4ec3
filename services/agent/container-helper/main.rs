//! What hearth runs in containers of its own, of any image and of none: `give UID GID FOLDER` gives everything in a folder to
//! a user, and `wait` does nothing until it is killed.
//!
//! It is a static program without dependencies. Others write to the folder meanwhile: what is gone when its turn comes is
//! left out.

use std::{
    env, fs,
    io::{self, ErrorKind},
    os::unix::fs::lchown,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

/// Most files that are looked at: others may make more of them without end.
const MAX_ENTRIES: usize = 4_000_000;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (uid, gid, folder) = match args[..] {
        ["give", uid, gid, folder] => (uid, gid, folder),
        ["wait"] => loop {
            thread::park();
        },
        _ => return ExitCode::from(64),
    };
    let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else {
        return ExitCode::from(64);
    };
    match give(Path::new(folder), uid, gid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn give(folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let mut count = 0;
    let mut folders = vec![folder.to_owned()];
    lchown(folder, Some(uid), Some(gid))?;
    while let Some(folder) = folders.pop() {
        for path in there(entries(&folder))?.unwrap_or_default() {
            count += 1;
            if count > MAX_ENTRIES {
                return Err(io::Error::other("there are too many files"));
            }
            there(lchown(&path, Some(uid), Some(gid)))?;
            if there(path.symlink_metadata())?.is_some_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .take(MAX_ENTRIES)
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// `None` of what is gone.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
