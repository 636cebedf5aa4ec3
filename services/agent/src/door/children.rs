//! The tasks of a door.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// The connections of a door, which end with it.
#[derive(Clone, Debug, Default)]
pub struct Children(Arc<Mutex<JoinSet<()>>>);

impl Children {
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Ends all of them when it is dropped.
#[derive(Debug)]
pub struct EndsChildren(pub Children);

impl Drop for EndsChildren {
    fn drop(&mut self) {
        self.0.0.lock().abort_all();
    }
}
