use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use hearth_runtime::{blocking, write_atomically};
use parking_lot::Mutex;

/// When the images of the cache were last used, by the engine's id of them. Kept in a file, so that a restart of the
/// agent does not make all of them equally old; without the file they are. Clones share their state.
#[derive(Clone, Debug)]
pub struct Recency(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    /// In milliseconds since 1970.
    last_use: Mutex<BTreeMap<String, u64>>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

impl Recency {
    /// Reads the file. Without a file that can be read, no use is known. Waits for the disk.
    pub fn load(file: PathBuf) -> Self {
        let last_use = read(&file).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %file.display(), %error, "it is not known any more when images were last used");
            }
            BTreeMap::new()
        });
        Self(Arc::new(Inner {
            file,
            last_use: Mutex::new(last_use),
            writing: Mutex::new(()),
        }))
    }

    /// Notes that an image is used now.
    pub async fn touch(&self, id: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            });
        self.0.last_use.lock().insert(id.to_owned(), now);
        self.save().await;
    }

    #[cfg(test)]
    pub fn set(&self, id: &str, milliseconds: u64) {
        self.0.last_use.lock().insert(id.to_owned(), milliseconds);
    }

    /// When an image was last used, in milliseconds since 1970; 0 when that is not known.
    pub fn last_use(&self, id: &str) -> u64 {
        let last_use = self.0.last_use.lock();
        last_use.get(id).copied().unwrap_or_default()
    }

    /// Forgets all images but these.
    pub async fn keep_only(&self, ids: &BTreeSet<String>) {
        let forgot = {
            let mut last_use = self.0.last_use.lock();
            let before = last_use.len();
            last_use.retain(|id, _| ids.contains(id));
            last_use.len() < before
        };
        if forgot {
            self.save().await;
        }
    }

    async fn save(&self) {
        let inner = self.0.clone();
        blocking(move || inner.save()).await;
    }
}

impl Inner {
    /// The disk may be full, and then the order is lost with the next restart and nothing else is.
    fn save(&self) {
        // The last one to write takes what is known by then, so that nothing newer is overwritten.
        let _writing = self.writing.lock();
        let last_use = serde_json::to_vec(&*self.last_use.lock());
        let written = last_use
            .map_err(io::Error::from)
            .and_then(|text| write_atomically(&self.file, &text, 0o644));
        if let Err(error) = written {
            tracing::warn!(path = %self.file.display(), %error, "it is not kept when images were last used");
        }
    }
}

fn read(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_order_of_use_outlives_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.json");
        let recency = Recency::load(file.clone());
        recency.touch("old").await;
        recency.set("old", 1);
        recency.touch("new").await;
        let again = Recency::load(file.clone());
        assert_eq!(again.last_use("old"), 1);
        assert!(again.last_use("new") > 1);
        assert_eq!(again.last_use("never"), 0);

        again.keep_only(&BTreeSet::from(["new".to_owned()])).await;
        let last = Recency::load(file);
        assert_eq!(last.last_use("old"), 0);
        assert_eq!(last.last_use("new"), again.last_use("new"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft");
    }

    #[tokio::test]
    async fn a_file_that_is_lost_or_nonsense_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.json");
        for nonsense in ["", "{", "[1]", r#"{"a":-1}"#] {
            fs::write(&file, nonsense).unwrap();
            let recency = Recency::load(file.clone());
            assert_eq!(recency.last_use("a"), 0, "{nonsense}");
            recency.touch("a").await;
            assert!(Recency::load(file.clone()).last_use("a") > 0);
        }
        let nowhere = Recency::load(dir.path().join("no/folder/images.json"));
        nowhere.touch("a").await;
        assert!(nowhere.last_use("a") > 0);
    }
}
