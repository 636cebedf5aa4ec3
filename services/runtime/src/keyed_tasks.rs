use std::{borrow::Borrow, collections::HashMap, future::Future, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Tasks;

/// What to do about a start under an id that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The known task does what was asked for: start nothing.
    Join,
    /// Tell the known task to stop, and start the new one when it has ended.
    Replace,
}

/// Tasks by id, at most one of each running: the next one begins when the last one is gone. Each has a value, for what
/// others want to know of it. Clones share their tasks.
#[derive(Clone, Debug)]
pub struct KeyedTasks<K, T> {
    name: &'static str,
    tasks: Tasks,
    keep_ended: usize,
    entries: Arc<Mutex<Entries<K, T>>>,
}

#[derive(Debug)]
struct Entries<K, T> {
    by_key: HashMap<K, Entry<T>>,
    /// Numbers the tasks as they start, and their ends.
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    number: u64,
    value: T,
    stop: CancellationToken,
    gone: CancellationToken,
    /// The number of the task's end: later ends have higher ones.
    ended: Option<u64>,
}

impl<K, T> KeyedTasks<K, T> {
    /// Tasks that run under `name` and belong to `tasks`. The `keep_ended` tasks that ended last stay known; with 0 a
    /// task is forgotten when it ends.
    pub fn new(tasks: Tasks, name: &'static str, keep_ended: usize) -> Self {
        Self {
            name,
            tasks,
            keep_ended,
            entries: Arc::new(Mutex::new(Entries {
                by_key: HashMap::new(),
                last_number: 0,
            })),
        }
    }
}

impl<K, T> KeyedTasks<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + 'static,
{
    /// Starts a task with its value, unless `decide` says otherwise, which sees the value of the task that is known
    /// under this id, running or ended. No other start of the id comes between the decision and its effect.
    ///
    /// `run` gets the value and the token that stops the task. It runs even if the task is told to stop before it
    /// begins. Returns the value of the task that is now known under the id.
    pub fn start<E, F>(
        &self,
        key: K,
        value: T,
        decide: impl FnOnce(&T) -> Result<Start, E>,
        run: impl FnOnce(T, CancellationToken) -> F + Send + 'static,
    ) -> Result<T, E>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut entries = self.entries.lock();
        let mut previous = None;
        if let Some(known) = entries.by_key.get(&key) {
            match decide(&known.value)? {
                Start::Join => return Ok(known.value.clone()),
                Start::Replace => {
                    known.stop.cancel();
                    previous = Some(known.gone.clone());
                }
            }
        }
        let entry = Entry {
            number: entries.next_number(),
            value: value.clone(),
            stop: self.tasks.stopping().child_token(),
            gone: CancellationToken::new(),
            ended: None,
        };
        entries.by_key.insert(key.clone(), entry.clone());
        drop(entries);
        let end = End {
            key,
            number: entry.number,
            gone: entry.gone,
            keep_ended: self.keep_ended,
            entries: self.entries.clone(),
        };
        self.tasks.spawn(self.name, async move {
            // Dropped when the task ends, panics, or is dropped itself, so that a waiter never waits for ever.
            let _end = end;
            if let Some(previous) = previous {
                previous.cancelled().await;
            }
            run(entry.value, entry.stop).await;
        });
        Ok(value)
    }

    /// The value of the task that is known under this id, running or ended.
    pub fn get<Q>(&self, key: &Q) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = self.entries.lock();
        entries.by_key.get(key).map(|entry| entry.value.clone())
    }

    /// What `select` takes of the tasks that are known, running or ended.
    pub fn select<R>(&self, select: impl Fn(&K, &T) -> Option<R>) -> Vec<R> {
        let entries = self.entries.lock();
        let known = entries.by_key.iter();
        known
            .filter_map(|(key, entry)| select(key, &entry.value))
            .collect()
    }

    /// Tells the task of this id to stop, if it is the right one by its value. Returns whether it is.
    pub fn tell_to_stop<Q>(&self, key: &Q, is_it: impl FnOnce(&T) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = self.entries.lock();
        let known = entries.by_key.get(key).filter(|entry| is_it(&entry.value));
        known.inspect(|entry| entry.stop.cancel()).is_some()
    }

    /// Stops the task of this id, waits until it is gone, and forgets it. A task that is started meanwhile is stopped
    /// as well. Does nothing where no task is known.
    pub async fn stop<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        loop {
            let known = self.entries.lock().by_key.get(key).cloned();
            let Some(known) = known else { return };
            known.stop.cancel();
            known.gone.cancelled().await;
            let mut entries = self.entries.lock();
            let now = entries.by_key.get(key).map(|entry| entry.number);
            if now == Some(known.number) {
                entries.by_key.remove(key);
            }
        }
    }
}

impl<K: Clone + Eq + Hash, T> Entries<K, T> {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn forget_old_ends(&mut self, keep_ended: usize) {
        let ended = |(key, entry): (&K, &Entry<T>)| Some((entry.ended?, key.clone()));
        let mut ended: Vec<_> = self.by_key.iter().filter_map(ended).collect();
        ended.sort_unstable_by_key(|(number, _)| *number);
        for (_, key) in ended.iter().rev().skip(keep_ended) {
            self.by_key.remove(key);
        }
    }
}

/// Marks a task as gone when it is dropped.
struct End<K: Clone + Eq + Hash, T> {
    key: K,
    number: u64,
    gone: CancellationToken,
    keep_ended: usize,
    entries: Arc<Mutex<Entries<K, T>>>,
}

impl<K: Clone + Eq + Hash, T> Drop for End<K, T> {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        let number = entries.next_number();
        // Under this id may be the next task already.
        if let Some(entry) = entries.by_key.get_mut(&self.key)
            && entry.number == self.number
        {
            entry.ended = Some(number);
            entries.forget_old_ends(self.keep_ended);
        }
        self.gone.cancel();
    }
}

#[cfg(test)]
#[path = "keyed_tasks_tests.rs"]
mod tests;
