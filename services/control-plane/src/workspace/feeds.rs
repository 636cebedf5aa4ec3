use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Wakes whoever follows a workspace's log. Only the news that there are news goes through here: the log itself is
/// read from the store, so a slow watcher costs no memory and cannot miss anything.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<HashMap<String, watch::Sender<u64>>>);

impl Feeds {
    /// Subscribe before reading: what is written after the read then wakes the subscriber.
    pub(crate) fn subscribe(&self, id: &str) -> watch::Receiver<u64> {
        let mut feeds = self.lock();
        // Ids are chosen by whoever asks, and many of them may stand for nothing.
        feeds.retain(|_, feed| feed.receiver_count() > 0);
        feeds.entry(id.to_owned()).or_default().subscribe()
    }

    /// Wakes everybody who follows the workspace.
    pub(crate) fn publish(&self, id: &str) {
        if let Some(feed) = self.lock().get(id) {
            feed.send_modify(|times| *times += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
