use std::collections::HashMap;

use hearth_domain::WorkspaceId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Wakes whoever follows a workspace's log. Only the news that there are news goes through here: the log itself is
/// read from the store, so a slow watcher costs no memory and cannot miss anything.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<HashMap<WorkspaceId, watch::Sender<u64>>>);

impl Feeds {
    /// Subscribe before reading: what is written after the read then wakes the subscriber.
    pub(crate) fn subscribe(&self, id: &WorkspaceId) -> watch::Receiver<u64> {
        let mut feeds = self.0.lock();
        // Ids are chosen by whoever asks, and many of them may stand for nothing.
        feeds.retain(|_, feed| feed.receiver_count() > 0);
        feeds.entry(id.clone()).or_default().subscribe()
    }

    /// Wakes everybody who follows the workspace.
    pub(crate) fn publish(&self, id: &WorkspaceId) {
        if let Some(feed) = self.0.lock().get(id) {
            feed.send_modify(|times| *times += 1);
        }
    }
}
