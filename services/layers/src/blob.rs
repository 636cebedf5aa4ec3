//! Fetches blobs of a registry, in several parts at once, and each part from where it broke off.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hearth_domain::Digest;
use reqwest::{Response, StatusCode, header};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{
    RegistryClient, RegistryError,
    access::{Access, Refused},
    client::in_time,
};

/// Bytes that are asked for at once. Parts that have arrived wait in memory for those before them.
const PART: u64 = 4 * 1024 * 1024;
/// Parts of a blob that are fetched at the same time, each by a connection of its own.
const PARTS_AT_ONCE: usize = 3;
/// A connection that brings nothing for this long is given up.
const STALL: Duration = Duration::from_secs(20);
/// Tries that bring nothing, one after the other, before a fetch fails.
const TRIES: usize = 6;
/// The longest pause that a registry can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Where the blobs of an image are.
pub(crate) struct Blobs {
    client: RegistryClient,
    image: String,
    /// Made when it is needed. A token can end before the last blob has arrived.
    access: Mutex<Option<Arc<Access>>>,
}

/// Why a part did not arrive.
enum Unfetched {
    /// The registry sends blobs only as a whole.
    WholeOnly(Response),
    Failed(RegistryError),
}

impl From<RegistryError> for Unfetched {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl Blobs {
    /// The blobs of `image`, which was asked for with `access`, if it was.
    pub fn new(client: RegistryClient, image: &str, access: Option<Access>) -> Self {
        Self {
            client,
            image: image.to_owned(),
            access: Mutex::new(access.map(Arc::new)),
        }
    }

    /// Fetches the blob `digest` of `bytes` bytes from the byte `done` on, and hands it to `take` in order. What it is, is not
    /// looked at.
    pub async fn fetch<E: From<RegistryError>>(
        &self,
        digest: &Digest,
        (mut done, bytes): (u64, u64),
        mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let firsts = (done..bytes).step_by(usize::try_from(PART).unwrap_or(usize::MAX));
        let part = |first: u64| self.part(digest, first, (first + PART).min(bytes), bytes);
        let mut parts = stream::iter(firsts).map(part).buffered(PARTS_AT_ONCE);
        loop {
            match parts.try_next().await {
                Ok(None) => return Ok(()),
                Ok(Some(part)) => {
                    done += part.len() as u64;
                    take(part).await?;
                }
                Err(Unfetched::Failed(error)) => return Err(error.into()),
                Err(Unfetched::WholeOnly(answer)) => {
                    // The other connections would bring the same.
                    drop(parts);
                    return self.whole(digest, (done, bytes), answer, take).await;
                }
            }
        }
    }

    /// The bytes of a blob from `first` to the one before `end`.
    async fn part(
        &self,
        digest: &Digest,
        first: u64,
        end: u64,
        of: u64,
    ) -> Result<Bytes, Unfetched> {
        let length = usize::try_from(end - first).unwrap_or(usize::MAX);
        let mut part = BytesMut::with_capacity(length);
        let mut tries = Tries::new();
        while part.len() < length {
            let from = first + part.len() as u64;
            let mut answer = match self.ask(digest, Some((from, end - 1)), &mut tries).await? {
                Some(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => answer,
                Some(answer) if (from, end) == (0, of) => answer,
                Some(answer) => return Err(Unfetched::WholeOnly(answer)),
                None => continue,
            };
            check_range(&answer, from, of)?;
            let before = part.len();
            while let Some(chunk) = arriving(&mut answer).await {
                if part.len() + chunk.len() > length {
                    return Err(too_long(digest).into());
                }
                part.extend_from_slice(&chunk);
            }
            tries
                .went(part.len() > before, part.len() == length)
                .await?;
        }
        Ok(part.freeze())
    }

    /// Fetches all of a blob over one connection. The first `done` bytes have been taken.
    async fn whole<E: From<RegistryError>>(
        &self,
        digest: &Digest,
        (mut done, bytes): (u64, u64),
        answer: Response,
        mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tries = Tries::new();
        let mut answer = Some(answer);
        while done < bytes {
            let asked = match answer.take() {
                None => self.ask(digest, None, &mut tries).await?,
                first => first,
            };
            let Some(mut arrives) = asked else { continue };
            let (before, mut at) = (done, 0);
            while let Some(mut chunk) = arriving(&mut arrives).await {
                let known = (done - at).min(chunk.len() as u64);
                at += known;
                let new = chunk.split_off(usize::try_from(known).unwrap_or_default());
                at += new.len() as u64;
                if at > bytes {
                    return Err(too_long(digest).into());
                }
                if !new.is_empty() {
                    done = at;
                    take(new).await?;
                }
            }
            tries.went(done > before, done == bytes).await?;
        }
        Ok(())
    }

    /// `None`: not this time, and it is to be asked again.
    async fn ask(
        &self,
        digest: &Digest,
        range: Option<(u64, u64)>,
        tries: &mut Tries,
    ) -> Result<Option<Response>, RegistryError> {
        let access = match self.access().await {
            Err(error @ RegistryError::Unreachable(_)) => {
                tries.failed(error, None).await?;
                return Ok(None);
            }
            access => access?,
        };
        let Refused { error, retry_after } = match access.blob(digest.as_str(), range).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(refused) => refused,
        };
        match error {
            RegistryError::Unreachable(_) => tries.failed(error, retry_after).await?,
            RegistryError::LoginFailed | RegistryError::Denied(_) if !tries.logged_in => {
                tries.logged_in = true;
                let mut current = self.access.lock().await;
                // Another part may have done it meanwhile.
                if current
                    .as_ref()
                    .is_some_and(|known| Arc::ptr_eq(known, &access))
                {
                    *current = None;
                }
            }
            other => return Err(other),
        }
        Ok(None)
    }

    async fn access(&self) -> Result<Arc<Access>, RegistryError> {
        let mut access = self.access.lock().await;
        if let Some(access) = &*access {
            return Ok(access.clone());
        }
        let (fresh, _) = in_time(self.client.log_in(&self.image, "pull")).await?;
        Ok(access.insert(Arc::new(fresh)).clone())
    }
}

/// The next bytes of an answer; `None` when it ends, breaks off or stalls.
async fn arriving(answer: &mut Response) -> Option<Bytes> {
    timeout(STALL, answer.chunk()).await.ok()?.ok()?
}

/// An answer with a part has to be that part, of a blob as long as the manifest says.
pub(crate) fn check_range(answer: &Response, from: u64, of: u64) -> Result<(), RegistryError> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(());
    }
    let range = answer.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes "));
    let (range, all) = range
        .and_then(|range| range.split_once('/'))
        .unwrap_or_default();
    let first = range.split_once('-').map(|(first, _)| first);
    let fits = first.and_then(|first| first.parse().ok()) == Some(from);
    match fits && (all == "*" || all.parse() == Ok(of)) {
        true => Ok(()),
        false => Err(RegistryError::Protocol(format!(
            "it sends the bytes {range}/{all} of a blob that has {of}, and was asked for those from {from}"
        ))),
    }
}

fn too_long(digest: &Digest) -> RegistryError {
    RegistryError::Protocol(format!(
        "the blob {digest} is longer than its manifest says"
    ))
}

/// How often something is tried again, and after which pause.
pub(crate) struct Tries {
    pauses: backon::ExponentialBackoff,
    pub logged_in: bool,
}

impl Tries {
    pub fn new() -> Self {
        Self {
            pauses: pauses(),
            logged_in: false,
        }
    }

    /// An answer has ended.
    async fn went(&mut self, brought_something: bool, is_done: bool) -> Result<(), RegistryError> {
        if brought_something {
            self.pauses = pauses();
        }
        match is_done {
            true => Ok(()),
            false => {
                let broke_off = RegistryError::Unreachable("the connection broke off".to_owned());
                self.failed(broke_off, None).await
            }
        }
    }

    pub async fn failed(
        &mut self,
        error: RegistryError,
        asked_for: Option<Duration>,
    ) -> Result<(), RegistryError> {
        let pause = self.pauses.next().ok_or(error)?;
        sleep(asked_for.map_or(pause, |asked_for| asked_for.min(MAX_PAUSE))).await;
        Ok(())
    }
}

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_jitter()
        .with_max_times(TRIES - 1)
        .build()
}
