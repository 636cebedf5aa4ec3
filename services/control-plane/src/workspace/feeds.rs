use std::collections::HashMap;

use hearth_domain::WorkspaceId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Notifies watchers of changes of a workspace's log. The events themselves are read from the store, so a slow watcher
/// uses no memory and misses nothing.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<HashMap<WorkspaceId, watch::Sender<u64>>>);

impl Feeds {
    /// Subscribe before reading: a later write then notifies the subscriber.
    pub(crate) fn subscribe(&self, id: &WorkspaceId) -> watch::Receiver<u64> {
        let mut feeds = self.0.lock();
        // Clients choose the ids, so many may be unknown.
        feeds.retain(|_, feed| feed.receiver_count() > 0);
        feeds.entry(id.clone()).or_default().subscribe()
    }

    /// Notifies the watchers of the workspace.
    pub(crate) fn publish(&self, id: &WorkspaceId) {
        if let Some(feed) = self.0.lock().get(id) {
            feed.send_modify(|times| *times += 1);
        }
    }
}
