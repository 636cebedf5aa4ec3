//! Answers neighbours: `GET /blobs/sha256:…` with a token, for layers of images that this node offers.

use std::{
    convert::Infallible,
    fs::File,
    io,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use hearth_domain::Digest;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    containerd::Containerd,
    offer::{Found, Held, Offers},
};

/// Connections at a time, each with one request; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long a request may take to arrive.
const HEAD: Duration = Duration::from_secs(3);
/// Bytes that are handed out at once.
const PIECE: usize = 256 * 1024;
/// How long more of a layer is waited for that is being fetched.
const ARRIVAL: Duration = Duration::from_secs(20);
/// A reader has to take a piece in this time.
const SLOWEST: Duration = Duration::from_secs(10);
/// Pause after a failed accept: when file descriptors have run out, the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves what a node offers its neighbours.
pub struct NeighbourServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    offers: Offers,
    /// When the next piece may be sent, so that all together are not faster than allowed.
    next: Mutex<Instant>,
    bytes_per_second: u64,
    served: Box<dyn Fn(u64) + Send + Sync>,
}

/// How far a connection is.
#[derive(Default)]
struct Progress {
    pieces: AtomicU64,
    /// The reader waits for us.
    waits: AtomicBool,
}

impl NeighbourServer {
    /// Serves `offers`, at most so many bytes a second; `served` is told of each piece.
    pub fn new(
        listener: TcpListener,
        offers: Offers,
        bytes_per_second: u64,
        served: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            listener,
            shared: Arc::new(Shared {
                offers,
                next: Mutex::new(Instant::now()),
                bytes_per_second: bytes_per_second.max(1),
                served: Box::new(served),
            }),
        }
    }

    /// Answers until it is dropped.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((connection, from)) => {
                    let shared = self.shared.clone();
                    connections.spawn(async move {
                        serve(shared, connection, from).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a neighbour's connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Answers one request, and cuts a reader off that does not take what is sent.
async fn serve(shared: Arc<Shared>, connection: TcpStream, from: SocketAddr) {
    let progress = Arc::new(Progress::default());
    let answering = progress.clone();
    let service = service_fn(move |request| {
        let (shared, progress) = (shared.clone(), answering.clone());
        async move { Ok::<_, Infallible>(answer(shared, progress, &request).await) }
    });
    let answered = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD.max(PIECE))
        .serve_connection(TokioIo::new(connection), service);
    let slow = async {
        let mut before = 0;
        loop {
            sleep(SLOWEST).await;
            let now = progress.pieces.load(Relaxed);
            if before == now && !progress.waits.load(Relaxed) {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        // A client that goes away is no error.
        _ = answered => {}
        () = slow => tracing::info!(%from, "a neighbour that takes nothing was cut off"),
    }
}

async fn answer(
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    request: &Request<Incoming>,
) -> Response<Body> {
    if request.method() != Method::GET {
        return refusal(StatusCode::METHOD_NOT_ALLOWED);
    }
    let token = request.headers().get(header::AUTHORIZATION);
    let token = token.and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
    let Some(mut image) = token.and_then(|token| shared.offers.image(token)) else {
        return refusal(StatusCode::UNAUTHORIZED);
    };
    let path = request.uri().path().strip_prefix("/blobs/");
    let Some(digest) = path.and_then(|digest| digest.parse::<Digest>().ok()) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    // Its manifest may not have been read yet.
    let layers = match timeout(HEAD, image.wait_for(Option::is_some)).await {
        Ok(Ok(layers)) => layers.clone(),
        _ => return refusal(StatusCode::SERVICE_UNAVAILABLE),
    };
    let Some(found) = layers.and_then(|layers| layers.find(&digest)) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let range = request.headers().get(header::RANGE);
    let first = match range.map(|range| range.to_str().ok().and_then(first)) {
        None => 0,
        Some(Some(first)) if first < found.bytes => first,
        Some(_) => return refusal(StatusCode::RANGE_NOT_SATISFIABLE),
    };
    let bytes = found.bytes;
    let Some(pieces) = pieces(found, &digest, first, progress.clone()).await else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let pieces = pieces.and_then(move |piece: Bytes| {
        let (shared, progress) = (shared.clone(), progress.clone());
        async move {
            shared.pace(piece.len() as u64, &progress).await;
            progress.pieces.fetch_add(1, Relaxed);
            (shared.served)(piece.len() as u64);
            Ok(Frame::data(piece))
        }
    });
    let builder = Response::builder().header(header::CONTENT_LENGTH, bytes - first);
    let builder = match range {
        None => builder,
        Some(_) => builder.status(StatusCode::PARTIAL_CONTENT).header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{bytes}", bytes.saturating_sub(1)),
        ),
    };
    let answer = builder.body(StreamBody::new(pieces).boxed_unsync());
    answer.unwrap_or_else(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR))
}

impl Shared {
    /// Waits until so many bytes may be sent.
    async fn pace(&self, bytes: u64, progress: &Progress) {
        let took = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let due = {
            let mut next = self.next.lock();
            let due = (*next).max(Instant::now());
            *next = due + took;
            due
        };
        progress.waiting(sleep_until(due)).await;
    }
}

impl Progress {
    /// The reader has to wait for this.
    async fn waiting<T>(&self, work: impl Future<Output = T>) -> T {
        self.waits.store(true, Relaxed);
        let done = work.await;
        self.waits.store(false, Relaxed);
        done
    }
}

/// A layer from the byte `first` on; `None`: it is not here.
async fn pieces(
    found: Found,
    digest: &Digest,
    first: u64,
    progress: Arc<Progress>,
) -> Option<BoxStream<'static, io::Result<Bytes>>> {
    if matches!(*found.held.borrow(), Held::InStore) {
        let store = Containerd::connect(&found.containerd).await.ok()?;
        let content = store.read_from(digest, first).await.ok()??;
        return Some(content.map_err(io::Error::other).boxed());
    }
    let arriving = Arriving {
        held: found.held,
        file: None,
        at: first,
        bytes: found.bytes,
        progress,
    };
    let pieces = stream::try_unfold(arriving, |mut arriving| async move {
        let piece = arriving.next().await?;
        Ok(piece.map(|piece| (piece, arriving)))
    });
    Some(pieces.boxed())
}

/// A layer that is read while it arrives.
struct Arriving {
    held: watch::Receiver<Held>,
    /// The file that was read from.
    file: Option<Arc<File>>,
    at: u64,
    bytes: u64,
    progress: Arc<Progress>,
}

impl Arriving {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.at < self.bytes {
            let held = self.held.borrow_and_update().clone();
            let arrived = match (held, &self.file) {
                (Held::Arriving { file, bytes }, None) => {
                    self.file = Some(file);
                    bytes
                }
                (Held::Arriving { file, bytes }, Some(known)) if Arc::ptr_eq(&file, known) => bytes,
                (Held::Awaited, None) => 0,
                // The image is whole.
                (Held::InStore, Some(_)) => self.bytes,
                _ => return Err(io::Error::other("the layer is fetched anew")),
            };
            if let Some(file) = self.file.as_ref().filter(|_| arrived > self.at) {
                let length =
                    usize::try_from(arrived - self.at).map_or(PIECE, |left| left.min(PIECE));
                let (file, at) = (file.clone(), self.at);
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; length];
                    file.read_exact_at(&mut piece, at).map(|()| piece)
                });
                self.at += length as u64;
                return Ok(Some(read.await??.into()));
            }
            let more = timeout(ARRIVAL, self.held.changed());
            if !matches!(self.progress.waiting(more).await, Ok(Ok(()))) {
                return Err(io::Error::other("the layer does not arrive"));
            }
        }
        Ok(None)
    }
}

/// The first byte of a range that goes to the end.
fn first(range: &str) -> Option<u64> {
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

fn refusal(status: StatusCode) -> Response<Body> {
    let nothing = Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(nothing.boxed_unsync());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
