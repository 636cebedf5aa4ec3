use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// When the images of the cache were last used, by the engine's id of them. Kept in a file, so that their order survives
/// a restart of the agent.
#[derive(Debug)]
pub struct Recency {
    file: PathBuf,
    /// In milliseconds since 1970.
    last_use: Mutex<BTreeMap<String, u64>>,
}

impl Recency {
    /// Reads the file. If it is missing or malformed, no use of any image is known.
    pub fn load(file: PathBuf) -> Self {
        let last_use = read(&file).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %file.display(), %error, "the file with the last use of images cannot be read; their order is lost");
            }
            BTreeMap::new()
        });
        Self {
            file,
            last_use: Mutex::new(last_use),
        }
    }

    /// Records that an image is used now.
    pub fn touch(&self, id: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            });
        let mut last_use = self.lock();
        last_use.insert(id.to_owned(), now);
        self.write(&last_use);
    }

    #[cfg(test)]
    pub fn set(&self, id: &str, milliseconds: u64) {
        self.lock().insert(id.to_owned(), milliseconds);
    }

    /// When an image was last used, in milliseconds since 1970; 0 when that is not known.
    pub fn last_use(&self, id: &str) -> u64 {
        self.lock().get(id).copied().unwrap_or_default()
    }

    /// Forgets all images but these.
    pub fn keep_only(&self, ids: &BTreeSet<String>) {
        let mut last_use = self.lock();
        let before = last_use.len();
        last_use.retain(|id, _| ids.contains(id));
        if last_use.len() < before {
            self.write(&last_use);
        }
    }

    /// Replaces the file. If that fails, for example because the disk is full, the order is lost at the next restart.
    fn write(&self, last_use: &BTreeMap<String, u64>) {
        let draft = self.file.with_extension("new");
        let written = serde_json::to_vec(last_use)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(&draft, &self.file));
        if let Err(error) = written {
            tracing::warn!(path = %self.file.display(), %error, "the last use of images could not be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.last_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_use_outlives_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.json");
        let recency = Recency::load(file.clone());
        recency.touch("old");
        recency.set("old", 1);
        recency.touch("new");
        let again = Recency::load(file.clone());
        assert_eq!(again.last_use("old"), 1);
        assert!(again.last_use("new") > 1);
        assert_eq!(again.last_use("never"), 0);

        again.keep_only(&BTreeSet::from(["new".to_owned()]));
        let last = Recency::load(file);
        assert_eq!(last.last_use("old"), 0);
        assert_eq!(last.last_use("new"), again.last_use("new"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft");
    }

    #[test]
    fn a_file_that_is_lost_or_nonsense_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.json");
        for nonsense in ["", "{", "[1]", r#"{"a":-1}"#] {
            fs::write(&file, nonsense).unwrap();
            let recency = Recency::load(file.clone());
            assert_eq!(recency.last_use("a"), 0, "{nonsense}");
            recency.touch("a");
            assert!(Recency::load(file.clone()).last_use("a") > 0);
        }
        let nowhere = Recency::load(dir.path().join("no/folder/images.json"));
        nowhere.touch("a");
        assert!(nowhere.last_use("a") > 0);
    }
}
