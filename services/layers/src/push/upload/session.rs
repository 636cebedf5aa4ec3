//! Uploads that a registry has begun to take. It keeps what it has of one for days, unless it is told that nothing follows.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use reqwest::{Method, Url};
use tokio::time::timeout;

use crate::access::{Access, finish};

/// How long registries are told of uploads that were left, after the push has ended.
const TELLING: Duration = Duration::from_secs(5);
/// As many at a time.
const AT_ONCE: usize = 4;

/// Where an upload goes on, and what is known of the registry.
type Place = (Arc<Access>, Url);

/// Uploads that were left.
#[derive(Clone, Default)]
pub struct Left(Arc<Mutex<Vec<Place>>>);

impl Left {
    /// Tells the registry of them. Nobody waits for that, and it need not succeed.
    pub async fn tell(&self) {
        let left = std::mem::take(&mut *self.0.lock());
        let told = stream::iter(left).for_each_concurrent(AT_ONCE, |(access, place)| async move {
            if let Ok(answer) = access.take(access.step(Method::DELETE, place)).await {
                finish(answer).await;
            }
        });
        let _ = timeout(TELLING, told).await;
    }
}

/// An upload. It is left when this is dropped before it has ended.
pub struct Session {
    access: Arc<Access>,
    place: Url,
    left: Left,
    has_ended: bool,
}

impl Session {
    /// It goes on at `place`.
    pub fn new(access: &Arc<Access>, place: Url, left: &Left) -> Self {
        Self {
            access: access.clone(),
            place,
            left: left.clone(),
            has_ended: false,
        }
    }

    /// Where it goes on.
    pub fn place(&self) -> Url {
        self.place.clone()
    }

    /// It goes on elsewhere now.
    pub fn moves(&mut self, access: &Arc<Access>, place: Url) {
        self.access = access.clone();
        self.place = place;
    }

    /// The registry has all of it.
    pub fn ends(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.has_ended {
            let place = self.place.clone();
            self.left.0.lock().push((self.access.clone(), place));
        }
    }
}
