use std::{io, path::Path};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::files::CloneFiles;

/// Work with files that ends with its owner. A thread that waits for a disk cannot be aborted: it looks at each entry
/// whether it is still wanted.
#[derive(Debug, Default)]
pub struct FileWork {
    stop: CancellationToken,
    running: TaskTracker,
}

impl FileWork {
    /// The files below `root`, to be worked with until [`Self::end`].
    pub fn open(&self, root: &Path) -> io::Result<CloneFiles> {
        CloneFiles::open_with(root, self.stop.clone(), Some(self.running.token()))
    }

    /// Stops all of the work, and waits until nothing touches the files any more: no [`CloneFiles`] of it is left.
    pub async fn end(&self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

impl Drop for FileWork {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
