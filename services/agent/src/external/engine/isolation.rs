//! Keeps the containers of different workspaces apart that are in the engine's own network, its default bridge.
//!
//! A network for each of them would use up the engine's address pools, and a common one would let a workspace take a name
//! such as `github.com` in the others' DNS. Isolated ports of a bridge pass nothing on to each other, also where the engine
//! has no firewall.

use std::{collections::BTreeSet, ffi::OsString, fs, io, path::PathBuf};

/// The engine's default bridge, as it was before a container started.
#[derive(Debug)]
pub struct Bridge {
    folder: PathBuf,
    before: BTreeSet<OsString>,
}

impl Bridge {
    /// Looks at the bridge with this name.
    pub fn look(name: &str) -> io::Result<Self> {
        let folder = PathBuf::from("/sys/class/net").join(name).join("brif");
        Ok(Self {
            before: ports(&folder)?,
            folder,
        })
    }

    /// Isolates the ports that have come since. Another container's port may be among them, which is isolated as well.
    pub fn isolate_new(&self) -> io::Result<()> {
        for port in ports(&self.folder)?.difference(&self.before) {
            match fs::write(self.folder.join(port).join("isolated"), "1") {
                // The container has ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn ports(folder: &PathBuf) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}
