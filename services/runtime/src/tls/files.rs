use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_domain::sha256_hex;

/// How often files are looked at. Mounted secrets are exchanged in ways that no notification tells.
const PERIOD: Duration = Duration::from_secs(3);
/// Certificates and keys have some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Small files that are read again when they change.
#[derive(Debug)]
pub struct PolledFiles {
    paths: Vec<PathBuf>,
    /// The digests of what was in them last; an error by its kind.
    seen: Vec<Result<String, io::ErrorKind>>,
}

impl PolledFiles {
    /// These files, as they are now.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let seen = look(&paths);
        Self { paths, seen }
    }

    /// Returns when one of them has changed since it was seen last.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let now = look(&self.paths);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn look(paths: &[PathBuf]) -> Vec<Result<String, io::ErrorKind>> {
    let digest = |path: &PathBuf| {
        let text = read_small(path);
        text.map(sha256_hex).map_err(|error| error.kind())
    };
    paths.iter().map(digest).collect()
}

/// Reads a text that cannot be long.
///
/// # Errors
///
/// When it is, or cannot be read.
pub fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    match length as u64 > MAX_BYTES {
        true => Err(io::Error::other("is longer than 1 MiB")),
        false => Ok(text),
    }
}
