//! Where the layers of an image are fetched from: first from neighbours and a mirror, and what they do not bring from its
//! registry. None of them is trusted: whoever takes the bytes verifies their digest.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use hearth_domain::{Digest, NodeAddress};
use parking_lot::Mutex;
use reqwest::{Response, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};

use crate::{
    Mirror, RegistryError,
    access::Access,
    blob::{Blobs, check_range},
};

/// How long a neighbour has to accept a connection, and to answer then: it is near.
const NEAR: Duration = Duration::from_secs(2);
/// Time of waiting for bytes after which a source has to have brought enough.
const WINDOW: Duration = Duration::from_secs(3);
/// Bytes a second that every source has to bring.
const FLOOR: u64 = 256 * 1024;
/// A source may be this many times slower than the registry was.
const SLOWER: u64 = 4;
/// Bytes from which on the registry's rate is known.
const MEASURED: u64 = 4 * 1024 * 1024;

/// Another node that has an image, or fetches it.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Where it serves.
    pub address: NodeAddress,
    /// Its token for this image.
    pub token: SecretString,
}

/// Bytes by where they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BySource {
    /// The image's registry.
    pub registry: u64,
    /// Its mirror.
    pub mirror: u64,
    /// Other nodes.
    pub neighbours: u64,
}

/// How fast the registry was, in bytes a second for each layer; 0: it is not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistryRate(Arc<AtomicU64>);

impl RegistryRate {
    fn note(&self, bytes: u64, seconds: f64) {
        if bytes >= MEASURED {
            let now = (bytes as f64 / seconds.max(1e-3)) as u64;
            let before = self.0.load(Relaxed);
            let mean = if before == 0 {
                now
            } else {
                before.midpoint(now)
            };
            self.0.store(mean, Relaxed);
        }
    }

    /// Bytes a second below which another source is left.
    fn floor(&self) -> u64 {
        FLOOR.max(self.0.load(Relaxed) / SLOWER)
    }
}

/// The places that have the layers of an image.
pub(crate) struct Sources {
    /// In the order in which they are asked.
    others: Vec<Other>,
    registry: Blobs,
    rate: RegistryRate,
    neighbour_http: Option<reqwest::Client>,
    bytes: Mutex<BySource>,
}

struct Other {
    place: Place,
    /// It is not asked any more.
    is_left: AtomicBool,
}

enum Place {
    Neighbour(Neighbour),
    Mirror(Mirror, Box<Access>),
}

/// Who brought bytes of a layer besides the registry.
#[derive(Default)]
pub(crate) struct Helpers(Mutex<BTreeSet<usize>>);

/// Why a place brings no more of a layer.
enum Fault {
    /// It does not have it, or cannot give it now.
    NotThere,
    /// It does not want to give anything of the image.
    Refused(String),
    /// It brings too little, or something else. It is not asked for anything else either.
    Bad(String),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NotFound(_) => Self::NotThere,
            RegistryError::LoginFailed | RegistryError::Denied(_) => {
                Self::Refused(error.to_string())
            }
            error => Self::Bad(error.to_string()),
        }
    }
}

impl Sources {
    /// The registry, and others that are asked before it.
    pub fn new(
        registry: Blobs,
        rate: RegistryRate,
        neighbours: Vec<Neighbour>,
        mirror: Option<(Mirror, Access)>,
    ) -> Self {
        // Neighbours are not behind a proxy, and lead nowhere else.
        let http = reqwest::Client::builder()
            .connect_timeout(NEAR)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let neighbour_http = http.build().ok();
        let neighbours = neighbours.into_iter().map(Place::Neighbour);
        let mirror = mirror.map(|(mirror, access)| Place::Mirror(mirror, Box::new(access)));
        let others = neighbours.chain(mirror);
        Self {
            others: others
                .map(|place| Other {
                    place,
                    is_left: AtomicBool::new(false),
                })
                .collect(),
            registry,
            rate,
            neighbour_http,
            bytes: Mutex::default(),
        }
    }

    /// How many bytes came from where, so far.
    pub fn bytes(&self) -> BySource {
        *self.bytes.lock()
    }

    /// Fetches the blob `digest` of `bytes` bytes, and hands it to `take` in order. What it is, is not looked at: `helpers` are
    /// those to blame if it is something else. Without them only the registry is asked.
    pub async fn fetch<E: From<RegistryError>>(
        &self,
        digest: &Digest,
        bytes: u64,
        helpers: Option<&Helpers>,
        mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut done = 0;
        let helpers = helpers.into_iter();
        for (helpers, number, other) in helpers.flat_map(|helpers| {
            let others = self.others.iter().enumerate();
            others.map(move |(number, other)| (helpers, number, other))
        }) {
            if other.is_left.load(Relaxed) {
                continue;
            }
            let take = async |part: Bytes| {
                helpers.0.lock().insert(number);
                self.count(&other.place, part.len());
                take(part).await
            };
            match self
                .ask(&other.place, digest, (&mut done, bytes), take)
                .await?
            {
                Ok(()) => return Ok(()),
                Err(Fault::NotThere) => {}
                Err(Fault::Refused(why)) => other.leave(&why),
                Err(Fault::Bad(why)) => {
                    other.leave_for_all(&why);
                    // So a layer costs one fault at most.
                    break;
                }
            }
        }
        let (began, first) = (Instant::now(), done);
        let take = async |part: Bytes| {
            self.bytes.lock().registry += part.len() as u64;
            take(part).await
        };
        self.registry.fetch(digest, (first, bytes), take).await?;
        self.rate.note(bytes - first, began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Whether others helped with a layer that turned out to be something else. They are asked for nothing any more.
    pub fn blame(&self, helpers: &Helpers) -> bool {
        let helpers = helpers.0.lock();
        for number in &*helpers {
            self.others[*number].leave_for_all("it sent other content");
        }
        !helpers.is_empty()
    }

    /// Takes from one place what is missing of a blob, over one connection, until something is wrong with it.
    async fn ask<E>(
        &self,
        place: &Place,
        digest: &Digest,
        (done, bytes): (&mut u64, u64),
        mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
    ) -> Result<Result<(), Fault>, E> {
        let mut answer = match self.open(place, digest, (*done, bytes)).await {
            Ok(answer) => answer,
            Err(fault) => return Ok(Err(fault)),
        };
        let bad = |why: &str| Ok(Err(Fault::Bad(why.to_owned())));
        let (mut waited, mut brought) = (Duration::ZERO, 0);
        while *done < bytes {
            // Only the time that it lets us wait counts, not that of unpacking.
            let asked = Instant::now();
            let arrived = timeout(WINDOW.saturating_sub(waited), answer.chunk()).await;
            waited += asked.elapsed();
            match arrived {
                Ok(Ok(Some(part))) if part.len() as u64 > bytes - *done => {
                    return bad("it sends more than there is");
                }
                Ok(Ok(Some(part))) => {
                    *done += part.len() as u64;
                    brought += part.len() as u64;
                    take(part).await?;
                }
                Ok(Ok(None)) => return bad("it ended too early"),
                Ok(Err(_)) => return bad("the connection broke off"),
                Err(_) => {}
            }
            if waited >= WINDOW {
                if brought < self.rate.floor().saturating_mul(WINDOW.as_secs()) {
                    return bad("it is too slow");
                }
                (waited, brought) = (Duration::ZERO, 0);
            }
        }
        Ok(Ok(()))
    }

    /// Asks a place for the bytes of a blob from `first` on.
    async fn open(
        &self,
        place: &Place,
        digest: &Digest,
        (first, bytes): (u64, u64),
    ) -> Result<Response, Fault> {
        let answer = match place {
            Place::Neighbour(neighbour) => self.ask_neighbour(neighbour, digest, first).await?,
            Place::Mirror(_, access) => {
                let range = (first > 0).then(|| (first, bytes - 1));
                let answer = access.blob(digest.as_str(), range).await;
                answer.map_err(|refused| Fault::from(refused.error))?
            }
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => check_range(&answer, first, bytes)?,
            StatusCode::OK if first == 0 => {}
            // All of it once more.
            StatusCode::OK => return Err(Fault::NotThere),
            status => return Err(Fault::Bad(format!("status {status}"))),
        }
        Ok(answer)
    }

    async fn ask_neighbour(
        &self,
        neighbour: &Neighbour,
        digest: &Digest,
        first: u64,
    ) -> Result<Response, Fault> {
        let http = self.neighbour_http.as_ref().ok_or(Fault::NotThere)?;
        let url = format!("http://{}/blobs/{digest}", neighbour.address);
        let mut request = http.get(url).bearer_auth(neighbour.token.expose_secret());
        if first > 0 {
            request = request.header(header::RANGE, format!("bytes={first}-"));
        }
        match timeout(NEAR * 2, request.send()).await {
            Ok(Ok(answer)) => match answer.status() {
                // It has forgotten the image, or has too much to do.
                StatusCode::NOT_FOUND
                | StatusCode::UNAUTHORIZED
                | StatusCode::SERVICE_UNAVAILABLE => Err(Fault::NotThere),
                _ => Ok(answer),
            },
            Ok(Err(error)) => Err(RegistryError::from(error).into()),
            Err(_) => Err(Fault::Bad("it does not answer".to_owned())),
        }
    }

    fn count(&self, place: &Place, bytes: usize) {
        let mut by = self.bytes.lock();
        let counted = match place {
            Place::Neighbour(_) => &mut by.neighbours,
            Place::Mirror(..) => &mut by.mirror,
        };
        *counted += bytes as u64;
    }
}

impl Other {
    /// It is asked for nothing of the image any more.
    fn leave(&self, why: &str) {
        if !self.is_left.swap(true, Relaxed) {
            let what = match &self.place {
                Place::Neighbour(neighbour) => format!("the neighbour {}", neighbour.address),
                Place::Mirror(mirror, _) => format!("the mirror {mirror}"),
            };
            tracing::info!("{what} is not asked for this image any more: {why}");
        }
    }

    /// The same, and if it is a mirror, it is not asked for other images for a while. Other nodes are told anew for each.
    fn leave_for_all(&self, why: &str) {
        self.leave(why);
        if let Place::Mirror(mirror, _) = &self.place {
            mirror.rest();
        }
    }
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
