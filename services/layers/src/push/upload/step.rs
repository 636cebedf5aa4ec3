//! The requests of which an upload consists.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use hearth_domain::Digest;
use http_body_util::{StreamBody, combinators::BoxBody};
use reqwest::{Body, Method, RequestBuilder, Response, Url, header};
use tokio::time::timeout;

use super::session::{Left, Session};
use crate::{
    RegistryError,
    access::{Access, Refused, finish},
    push::blob::Blob,
};

/// Bytes of a request. Some registries take no less than 5 MiB, and say so.
const CHUNK: u64 = 4 * 1024 * 1024;
/// The most that a registry can want at least in a request; one that wants more gets the blob as a whole.
const MAX_CHUNK: u64 = 4 * CHUNK;
/// Bytes of a blob that are read at once for a request that has all of it.
const PIECE: u64 = 256 * 1024;
/// Time for a request with a chunk, and in which something has to be taken of one with more.
pub const CHUNK_TIMEOUT: Duration = Duration::from_secs(120);
/// So many times as long a registry may look at all of a blob before it answers.
const LOOKING: u32 = 5;
const OCTETS: &str = "application/octet-stream";

/// The upload of a blob.
pub struct Upload<'a> {
    blob: &'a Blob,
    at: At,
    /// The one that goes on, if any, or that was begun last.
    session: Option<Session>,
    left: Left,
    /// What the registry has of it.
    offset: u64,
    /// Bytes of a request.
    chunk: u64,
    /// Whether the registry takes it in one request only.
    is_whole: bool,
    /// Bytes that were not told yet, of an upload that is needed.
    untold: Option<u64>,
}

/// What comes next.
enum At {
    /// Does the registry have it?
    Look,
    Begin,
    Send,
    /// How much has arrived?
    Ask,
    Done,
}

impl<'a> Upload<'a> {
    /// `left` has what of it is left to the registry when it is dropped.
    pub fn new(blob: &'a Blob, left: &Left) -> Self {
        Self {
            blob,
            at: At::Look,
            session: None,
            left: left.clone(),
            offset: 0,
            chunk: CHUNK,
            is_whole: blob.bytes <= CHUNK,
            untold: Some(blob.bytes),
        }
    }

    /// Bytes that have arrived.
    pub fn sent(&self) -> u64 {
        match self.untold {
            None => self.offset,
            // It was there.
            Some(_) => 0,
        }
    }

    /// Once: the bytes of the blob, when it turns out that it has to be sent.
    pub fn begins(&mut self) -> Option<u64> {
        match self.at {
            At::Send => self.untold.take(),
            _ => None,
        }
    }

    /// One request. Returns whether the registry has the blob now.
    pub async fn step(&mut self, access: &Arc<Access>) -> Result<bool, Refused> {
        let place = self.session.as_ref().map(Session::place);
        self.at = match (&self.at, place) {
            (At::Look, _) => self.look(access).await?,
            (At::Ask, Some(place)) => self.ask(access, place).await?,
            (At::Send, Some(place)) => match self.is_whole {
                true => self.send_whole(access, place).await?,
                false if self.offset == self.blob.bytes => self.end(access, place).await?,
                false => self.send_chunk(access, place).await?,
            },
            (At::Begin | At::Ask | At::Send, _) => self.begin(access).await?,
            (At::Done, _) => At::Done,
        };
        Ok(matches!(self.at, At::Done))
    }

    /// After a step that failed: what the registry has is not known.
    pub fn broke_off(&mut self) {
        self.at = match self.at {
            At::Send if !self.is_whole => At::Ask,
            At::Ask => At::Ask,
            At::Begin => At::Begin,
            // It may have all of it.
            _ => At::Look,
        };
    }

    async fn look(&mut self, access: &Access) -> Result<At, Refused> {
        self.offset = 0;
        match has(access, &self.blob.digest, self.blob.bytes).await? {
            true => Ok(At::Done),
            false => Ok(At::Begin),
        }
    }

    async fn begin(&mut self, access: &Arc<Access>) -> Result<At, Refused> {
        let begin = access.step(Method::POST, access.url("blobs/uploads/")?);
        // Some registries want to hear that a body is empty.
        let answer = take(access, begin.header(header::CONTENT_LENGTH, 0)).await?;
        let least = number(&answer, "oci-chunk-min-length");
        if let Some(least) = least {
            self.chunk = self.chunk.max(least);
            self.is_whole |= least > MAX_CHUNK;
        }
        let place = place(&answer).ok_or_else(|| {
            RegistryError::Protocol("it does not say where to upload to".to_owned())
        });
        finish(answer).await;
        // One that was begun before is left.
        self.session = Some(Session::new(access, place?, &self.left));
        Ok(At::Send)
    }

    /// What the registry has of the blob.
    async fn ask(&mut self, access: &Arc<Access>, at: Url) -> Result<At, Refused> {
        let answer = access.take(access.step(Method::GET, at.clone())).await?;
        match answer.status().as_u16() {
            200..=299 => {
                self.offset = arrived(&answer).unwrap_or(0).min(self.blob.bytes);
                self.moves(access, &answer);
                finish(answer).await;
                Ok(At::Send)
            }
            401 | 403 | 429 | 500.. => Err(refuses(access, answer).await),
            // It has ended, or cannot be asked for.
            _ => Ok(At::Look),
        }
    }

    /// Whether an answer says that the upload goes on elsewhere.
    fn moves(&mut self, access: &Arc<Access>, answer: &Response) {
        if let (Some(session), Some(place)) = (&mut self.session, place(answer)) {
            session.moves(access, place);
        }
    }

    async fn send_chunk(&mut self, access: &Arc<Access>, at: Url) -> Result<At, Refused> {
        let first = self.offset;
        let end = (first + self.chunk).min(self.blob.bytes);
        let chunk = self.blob.part(first..end).map_err(unread)?;
        let patch = access
            .step(Method::PATCH, at)
            .header(header::CONTENT_TYPE, OCTETS)
            .header(header::CONTENT_RANGE, format!("{first}-{}", end - 1))
            .timeout(CHUNK_TIMEOUT)
            .body(chunk);
        let answer = access.take(patch).await?;
        match answer.status().as_u16() {
            200..=299 => {
                let has = arrived(&answer).unwrap_or(end);
                self.moves(access, &answer);
                finish(answer).await;
                if has <= first || has > end {
                    let why = format!(
                        "it has {has} bytes of a blob after those from {first} to {end} were sent"
                    );
                    return Err(RegistryError::Unreachable(why).into());
                }
                self.offset = has;
                Ok(At::Send)
            }
            // It has other bytes than were thought, or the upload has ended.
            404 | 416 => Err(gone().into()),
            401 | 403 | 429 | 500 | 502.. => Err(refuses(access, answer).await),
            // It takes no parts.
            _ => {
                finish(answer).await;
                self.is_whole = true;
                self.offset = 0;
                Ok(At::Begin)
            }
        }
    }

    async fn end(&mut self, access: &Access, at: Url) -> Result<At, Refused> {
        let put = access.step(Method::PUT, self.with_digest(at));
        let put = put.header(header::CONTENT_LENGTH, 0).timeout(CHUNK_TIMEOUT);
        self.ended(access, put).await
    }

    async fn send_whole(&mut self, access: &Access, at: Url) -> Result<At, Refused> {
        let bytes = self.blob.bytes;
        let taken = Arc::new(AtomicU64::new(0));
        let body = match bytes <= CHUNK {
            true => Body::from(self.blob.part(0..bytes).map_err(unread)?),
            false => Body::wrap(self.body(taken.clone())),
        };
        let chunks = u32::try_from(bytes / CHUNK).unwrap_or(u32::MAX);
        let put = access
            .step(Method::PUT, self.with_digest(at))
            .header(header::CONTENT_TYPE, OCTETS)
            .header(header::CONTENT_LENGTH, bytes)
            // For all of it, however little is taken at a time.
            .timeout(CHUNK_TIMEOUT.saturating_mul(chunks.saturating_add(1)))
            .body(body);
        let ended = while_taken(&taken, bytes, self.ended(access, put)).await?;
        self.offset = bytes;
        Ok(ended)
    }

    /// All of the blob, which is read while it is sent. `taken` counts its bytes.
    fn body(&self, taken: Arc<AtomicU64>) -> BoxBody<Bytes, std::io::Error> {
        let (blob, bytes) = (self.blob.clone(), self.blob.bytes);
        let firsts = (0..bytes).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
        let pieces = firsts.map(move |first| {
            let piece = blob.part(first..(first + PIECE).min(bytes))?;
            taken.fetch_add(piece.len() as u64, Relaxed);
            Ok(http_body::Frame::data(piece))
        });
        BoxBody::new(StreamBody::new(stream::iter(pieces)))
    }

    async fn ended(&mut self, access: &Access, put: RequestBuilder) -> Result<At, Refused> {
        let answer = access.take(put).await?;
        match answer.status().as_u16() {
            200..=299 => self.session.take().into_iter().for_each(Session::ends),
            404 | 416 => return Err(gone().into()),
            _ => return Err(refuses(access, answer).await),
        }
        let same = says(&answer, &self.blob.digest);
        finish(answer).await;
        same?;
        Ok(At::Done)
    }

    fn with_digest(&self, mut place: Url) -> Url {
        let digest = self.blob.digest.as_str();
        place.query_pairs_mut().append_pair("digest", digest);
        place
    }
}

/// Waits for what a request brings, while the registry takes something of the `bytes` that it is sent.
pub(super) async fn while_taken<T>(
    taken: &AtomicU64,
    bytes: u64,
    request: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    let mut request = pin!(request);
    let mut before = 0;
    loop {
        let limit = match before == bytes {
            true => CHUNK_TIMEOUT * LOOKING,
            false => CHUNK_TIMEOUT,
        };
        if let Ok(answered) = timeout(limit, &mut request).await {
            return answered;
        }
        let now = taken.load(Relaxed);
        if now == before {
            let why = format!(
                "it took {now} of {bytes} bytes, and nothing for {} s",
                limit.as_secs()
            );
            return Err(RegistryError::Unreachable(why).into());
        }
        before = now;
    }
}

/// Whether the registry has a blob.
pub async fn has(access: &Access, digest: &Digest, bytes: u64) -> Result<bool, Refused> {
    let blob = access.url(&format!("blobs/{digest}"))?;
    let answer = access.take(access.step(Method::HEAD, blob)).await?;
    match answer.status().as_u16() {
        // 403 can be that of a store that it was moved to; a refusal of the upload tells.
        401 | 429 | 500.. => Err(refuses(access, answer).await),
        200..=299 => Ok(number(&answer, header::CONTENT_LENGTH.as_str()) == Some(bytes)),
        _ => Ok(false),
    }
}

/// What an answer that refuses says. Another host than the registry does not know the rights there.
async fn refuses(access: &Access, answer: Response) -> Refused {
    let host = match access.own_url(answer.url().as_str()) {
        Some(_) => None,
        None => answer.url().host_str().map(str::to_owned),
    };
    let refused = access.refuses(answer).await;
    match (host, &refused.error) {
        (Some(host), RegistryError::Denied(_) | RegistryError::LoginFailed) => {
            RegistryError::Protocol(format!("{host}, where it sends uploads to, refuses them"))
                .into()
        }
        _ => refused,
    }
}

/// Takes a step that has to succeed.
async fn take(access: &Access, step: RequestBuilder) -> Result<Response, Refused> {
    let answer = access.take(step).await?;
    match answer.status().is_success() {
        true => Ok(answer),
        false => Err(refuses(access, answer).await),
    }
}

fn gone() -> RegistryError {
    RegistryError::Unreachable("the upload does not go on where it was".to_owned())
}

/// Whether the registry means what was sent. Not all say what they mean.
pub fn says(answer: &Response, digest: &Digest) -> Result<(), RegistryError> {
    let said = answer.headers().get("docker-content-digest");
    match said.and_then(|said| said.to_str().ok()) {
        Some(said) if said != digest.as_str() => Err(RegistryError::Protocol(format!(
            "it was sent {digest}, and says to have {said}"
        ))),
        _ => Ok(()),
    }
}

/// Where the upload goes on; that may be relative.
fn place(answer: &Response) -> Option<Url> {
    let place = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let place = answer.url().join(place).ok()?;
    matches!(place.scheme(), "http" | "https").then_some(place)
}

/// Bytes that have arrived, by the range (first and last) that the registry says to have.
fn arrived(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(header::RANGE)?.to_str().ok()?;
    let last = range.trim_start_matches("bytes=").strip_prefix("0-")?;
    // No range says that there is nothing. Registries mean that by this one; no request has a single byte.
    match last.parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}

fn number(answer: &Response, header: &str) -> Option<u64> {
    answer.headers().get(header)?.to_str().ok()?.parse().ok()
}

fn unread(error: std::io::Error) -> RegistryError {
    RegistryError::Protocol(format!("what is to be sent cannot be read: {error}"))
}
