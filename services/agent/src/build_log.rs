//! The output of each workspace's last image build, kept after the attempt: also of one that failed and left nothing else.

use std::{
    collections::{HashMap, VecDeque},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{Tasks, blocking, write_atomically};
use parking_lot::Mutex;

/// Most bytes that are kept of the beginning of a log, and of its end: real ones have some 100 KiB.
const MAX_HEAD: usize = 2 * 1024 * 1024;
const MAX_END: usize = 4 * 1024 * 1024;
/// Workspaces of which a log is kept, those that were written last.
const MAX_LOGS: usize = 200;
/// Bytes of a piece of a log; a message is a little longer.
const PIECE: usize = 64 * 1024;

/// The logs of a node. Clones share them.
#[derive(Clone)]
pub struct BuildLogs(Arc<Inner>);

impl fmt::Debug for BuildLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildLogs")
            .field("folder", &self.0.folder)
            .finish_non_exhaustive()
    }
}

/// The number of an attempt that builds, and its text so far.
type Open = (u32, Arc<Mutex<Text>>);

struct Inner {
    folder: PathBuf,
    tasks: Tasks,
    /// Those that are not in the folder yet.
    open: Mutex<HashMap<WorkspaceId, Open>>,
}

/// A text of bounded length.
#[derive(Debug, Default)]
struct Text {
    head: String,
    end: VecDeque<String>,
    end_bytes: usize,
    left_out: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        if self.end.is_empty() && self.head.len() + line.len() < MAX_HEAD {
            self.head.push_str(line);
            self.head.push('\n');
            return;
        }
        let line = &line[..line.floor_char_boundary(MAX_END / 8)];
        self.end_bytes += line.len() + 1;
        self.end.push_back(line.to_owned());
        while self.end_bytes > MAX_END
            && let Some(oldest) = self.end.pop_front()
        {
            self.end_bytes -= oldest.len() + 1;
            self.left_out += 1;
        }
    }

    fn whole(&self) -> String {
        let mut whole = self.head.clone();
        if self.left_out > 0 {
            whole.push_str(&format!("[{} lines are left out here]\n", self.left_out));
        }
        for line in &self.end {
            whole.push_str(line);
            whole.push('\n');
        }
        whole
    }
}

/// The log of a build that goes on. It is kept when this is dropped, however the build has ended.
pub struct BuildLog {
    logs: BuildLogs,
    attempt: AttemptRef,
    text: Arc<Mutex<Text>>,
}

impl BuildLog {
    /// Adds a line.
    pub fn line(&self, line: &str) {
        self.text.lock().line(line);
    }

    /// All of it.
    pub fn whole(&self) -> String {
        self.text.lock().whole()
    }
}

impl Drop for BuildLog {
    fn drop(&mut self) {
        let (logs, attempt, text) = (self.logs.clone(), self.attempt.clone(), self.text.clone());
        let tasks = logs.0.tasks.clone();
        tasks.spawn("build log", async move {
            blocking(move || logs.keep(&attempt, &text)).await;
        });
    }
}

impl BuildLogs {
    /// The logs in this folder.
    pub fn new(folder: PathBuf, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            folder,
            tasks,
            open: Mutex::default(),
        }))
    }

    /// Begins the log of an attempt's build, in place of the one before.
    pub fn begin(&self, attempt: &AttemptRef) -> BuildLog {
        let text = Arc::<Mutex<Text>>::default();
        let mut open = self.0.open.lock();
        open.insert(attempt.workspace.clone(), (attempt.number, text.clone()));
        BuildLog {
            logs: self.clone(),
            attempt: attempt.clone(),
            text,
        }
    }

    /// The log of a workspace's last build, with the number of the attempt.
    pub async fn read(&self, workspace: &WorkspaceId) -> Option<(u32, String)> {
        let open = self.0.open.lock().get(workspace).cloned();
        if let Some((attempt, text)) = open {
            return Some((attempt, text.lock().whole()));
        }
        let path = self.path(workspace);
        let kept = blocking(move || fs::read_to_string(path)).await.ok()?;
        let (attempt, text) = kept.split_once('\n')?;
        Some((attempt.parse().ok()?, text.to_owned()))
    }

    /// Forgets the log of a workspace.
    pub async fn remove(&self, workspace: &WorkspaceId) {
        let (logs, workspace) = (self.clone(), workspace.clone());
        blocking(move || {
            // Under the lock: what is just being kept is removed as well.
            let mut open = logs.0.open.lock();
            open.remove(&workspace);
            match fs::remove_file(logs.path(&workspace)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%workspace, %error, "the log of a build was not removed");
                }
                _ => {}
            }
        })
        .await;
    }

    fn path(&self, workspace: &WorkspaceId) -> PathBuf {
        self.0.folder.join(workspace.as_str())
    }

    /// Writes a log whose build has ended. Waits for the disk.
    fn keep(&self, attempt: &AttemptRef, text: &Arc<Mutex<Text>>) {
        let content = format!("{}\n{}", attempt.number, text.lock().whole());
        let mut open = self.0.open.lock();
        let known = open.get(&attempt.workspace);
        if !known.is_some_and(|(_, known)| Arc::ptr_eq(known, text)) {
            // Another build has begun, or the workspace was removed.
            return;
        }
        let folder = &self.0.folder;
        let written = fs::create_dir_all(folder).and_then(|()| {
            write_atomically(&self.path(&attempt.workspace), content.as_bytes(), 0o600)
        });
        if let Err(error) = written {
            tracing::warn!(workspace.id = %attempt.workspace, %error, "the log of a build is not kept");
        }
        open.remove(&attempt.workspace);
        drop(open);
        if let Err(error) = forget_oldest(folder, MAX_LOGS) {
            tracing::warn!(%error, "old logs of builds were not removed");
        }
    }
}

/// Removes all but the `most` files of a folder that were written last.
fn forget_oldest(folder: &Path, most: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let written = entry
            .metadata()?
            .modified()
            .unwrap_or(SystemTime::UNIX_EPOCH);
        files.push((written, entry.path()));
    }
    files.sort();
    let more = files.len().saturating_sub(most);
    files
        .into_iter()
        .take(more)
        .try_for_each(|(_, path)| fs::remove_file(path))
}

/// A log in pieces of whole lines, where these are not too long for one.
pub fn pieces(mut text: &str) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let room = text.floor_char_boundary(PIECE);
        let end = match text.len() > room {
            true => text[..room].rfind('\n').map_or(room, |end| end + 1),
            false => text.len(),
        };
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn attempt(workspace: &str, number: u32) -> AttemptRef {
        AttemptRef {
            workspace: workspace.parse().unwrap(),
            number,
        }
    }

    #[tokio::test]
    async fn the_last_log_of_a_workspace_is_read_while_it_grows_after_its_end_and_not_after_its_removal()
     {
        let dir = tempfile::tempdir().unwrap();
        let tasks = Tasks::default();
        let logs = BuildLogs::new(dir.path().join("logs"), tasks.clone());
        let id = attempt("ws-1", 1).workspace;
        assert_eq!(logs.read(&id).await, None);
        let first = logs.begin(&attempt("ws-1", 1));
        first.line("one");
        assert_eq!(logs.read(&id).await, Some((1, "one\n".to_owned())));
        let second = logs.begin(&attempt("ws-1", 2));
        second.line("two");
        drop(second);
        // It ends after the one that took its place.
        drop(first);
        assert!(tasks.stop(Duration::from_secs(60)).await);
        let again = BuildLogs::new(dir.path().join("logs"), Tasks::default());
        assert_eq!(again.read(&id).await, Some((2, "two\n".to_owned())));
        again.remove(&id).await;
        again.remove(&id).await;
        assert_eq!(again.read(&id).await, None);
    }

    #[test]
    fn a_log_without_end_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let mut text = Text::default();
        for number in 0..1_000_000 {
            text.line(&format!("line {number}"));
        }
        text.line(&"x".repeat(MAX_END * 2));
        let whole = text.whole();
        assert!(whole.len() <= MAX_HEAD + MAX_END + 100, "{}", whole.len());
        assert!(whole.starts_with("line 0\nline 1\n"));
        assert!(whole.contains("lines are left out here]\n") && whole.contains("line 999999\n"));
        let mut joined = String::new();
        for piece in pieces(&whole) {
            assert!(piece.len() <= PIECE && !piece.is_empty());
            joined.push_str(&piece);
        }
        assert_eq!(joined, whole);
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn the_oldest_logs_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            let age = if name == "b" { 100 } else { 1 };
            let then = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(then).unwrap();
        }
        forget_oldest(dir.path(), 2).unwrap();
        assert!(!dir.path().join("b").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
