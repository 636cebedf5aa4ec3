//! Files and folders as a key counts them.
//!
//! BuildKit's checksum of a file covers what `cache/contenthash` of moby/buildkit takes from a tar header: type, all
//! of the mode's permission, set-id and sticky bits, the target of a link, the content. Owners are set to root and
//! times are dropped before. Extended attributes are covered as well, but git stores none, so a clone has none that
//! counts. An entry here holds the same: `file <mode> <sha256>`, `folder <mode>`, `link <target>`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{File, Metadata},
    io::Read as _,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use hearth_domain::sha256_hex;
use sha2::{Digest as _, Sha256};

use super::error::KeyError;

/// How much one key may be made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Files, folders and links.
    pub entries: usize,
    /// Content of files, in bytes. Reading it takes about a second for each GB.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 200_000,
            bytes: 8 << 30,
        }
    }
}

/// Something found in a walk; files are not read yet.
#[derive(Debug)]
pub(super) struct Found {
    /// Name in the key.
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    File {
        mode: u32,
        bytes: u64,
    },
    Folder {
        mode: u32,
    },
    Link {
        target: String,
    },
    /// Its value is known already.
    Known(String),
}

impl Kind {
    pub fn of(path: &Path, metadata: &Metadata) -> std::io::Result<Option<Self>> {
        let mode = metadata.mode() & 0o7777;
        let kind = metadata.file_type();
        Ok(if kind.is_symlink() {
            Some(Self::Link {
                target: readable(std::fs::read_link(path)?.as_os_str()),
            })
        } else if kind.is_dir() {
            Some(Self::Folder { mode })
        } else if kind.is_file() {
            Some(Self::File {
                mode,
                bytes: metadata.len(),
            })
        } else {
            // Sockets and devices: no clone has them, and BuildKit's client does not send sockets.
            None
        })
    }
}

/// A name as text: every name has exactly one, and no two names share one.
pub(super) fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Everything below `folder`, and the folder itself, by names relative to it.
pub(super) fn walk(folder: &Path, limits: Limits) -> Result<Vec<Found>, KeyError> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(false) {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let metadata = entry
            .metadata()
            .map_err(|error| unreadable(entry.path(), error))?;
        let path = entry.path().to_owned();
        let Some(kind) = Kind::of(&path, &metadata).map_err(|error| unreadable(&path, error))?
        else {
            continue;
        };
        let name = path.strip_prefix(folder).unwrap_or(&path).as_os_str();
        let name = if name.is_empty() {
            ".".to_owned()
        } else {
            readable(name)
        };
        found.push(Found { name, path, kind });
        if found.len() > limits.entries {
            return Err(KeyError::TooMuch {
                limit: format!("{} files", limits.entries),
            });
        }
    }
    Ok(found)
}

/// Reads the files and gives every entry its value.
pub(super) fn values(
    found: Vec<Found>,
    limits: Limits,
) -> Result<BTreeMap<String, String>, KeyError> {
    let total: u64 = found
        .iter()
        .map(|entry| {
            if let Kind::File { bytes, .. } = entry.kind {
                bytes
            } else {
                0
            }
        })
        .sum();
    if found.len() > limits.entries {
        return Err(KeyError::TooMuch {
            limit: format!("{} files", limits.entries),
        });
    }
    if total > limits.bytes {
        return Err(KeyError::TooMuch {
            limit: format!("{} bytes", limits.bytes),
        });
    }
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(String, String)>, KeyError> {
        let mut done = Vec::new();
        while let Some(entry) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((entry.name.clone(), value(entry)?));
        }
        Ok(done)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

/// One digest for many entries.
pub(super) fn digest(values: &BTreeMap<String, String>) -> String {
    // JSON keeps names and values apart whatever characters they have.
    sha256_hex(serde_json::to_string(values).unwrap_or_default())
}

fn value(entry: &Found) -> Result<String, KeyError> {
    Ok(match &entry.kind {
        Kind::Folder { mode } => format!("folder {mode:o}"),
        Kind::Link { target } => format!("link {target}"),
        Kind::Known(value) => value.clone(),
        Kind::File { mode, .. } => {
            let hash = hash(&entry.path).map_err(|error| unreadable(&entry.path, error))?;
            format!("file {mode:o} {hash}")
        }
    })
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        hasher.update(&buffer[..count]);
    }
}

pub(super) fn unreadable(path: &Path, error: impl std::fmt::Display) -> KeyError {
    KeyError::File {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(unreadable(Path::new("."), error)),
    }
}
