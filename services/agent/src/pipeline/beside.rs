use std::{future::Future, pin::pin};

use futures_util::future::BoxFuture;

/// Work that goes on beside the steps of an attempt. It makes progress only while [`Beside::alongside`] or
/// [`Beside::finish`] is awaited, and ends with this value.
pub struct Beside<'a, T> {
    work: Option<BoxFuture<'a, T>>,
    result: Option<T>,
}

impl<T> Default for Beside<'_, T> {
    fn default() -> Self {
        Self {
            work: None,
            result: None,
        }
    }
}

impl<'a, T> Beside<'a, T> {
    /// Work that begins with the first await.
    pub fn new(work: impl Future<Output = T> + Send + 'a) -> Self {
        Self {
            work: Some(Box::pin(work)),
            result: None,
        }
    }

    /// Whether it has begun and its result was not taken.
    pub fn is_there(&self) -> bool {
        self.work.is_some() || self.result.is_some()
    }

    /// Whether its result is there.
    #[cfg(test)]
    pub fn has_ended(&self) -> bool {
        self.result.is_some()
    }

    /// Runs `step`, and this work at the same time.
    pub async fn alongside<R>(&mut self, step: impl Future<Output = R>) -> R {
        let mut step = pin!(step);
        if let Some(work) = &mut self.work {
            let result = tokio::select! {
                biased;
                done = &mut step => return done,
                result = work => result,
            };
            self.work = None;
            self.result = Some(result);
        }
        step.await
    }

    /// Waits for the rest of the work, and takes its result. `None` when there is none.
    pub async fn finish(&mut self) -> Option<T> {
        if let Some(work) = &mut self.work {
            let result = work.await;
            self.work = None;
            self.result = Some(result);
        }
        self.result.take()
    }

    /// Ends the work.
    pub fn cancel(&mut self) {
        *self = Self::default();
    }
}
