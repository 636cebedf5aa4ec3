//! Pushes an image out of the store of an engine without the engine: its layers as frames of zstd that can be decoded each for
//! itself, whatever they are in the store.

mod blob;
mod built;
mod error;
mod frames;
pub mod fuzzing;
mod index;
mod known;
mod pace;
mod sent;
mod upload;

use std::{
    path::{Path, PathBuf},
    thread,
};

use hearth_domain::{Digest, Login};
use rustix::process::setpriority_process;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{Pushed, RegistryClient, Transfer, Way, containerd::Containerd, spool::Spool};
use built::Built;
use index::send_index;
use known::Known;
use sent::Sent;
use upload::{Left, Uploads};

pub use error::PushError;

/// The lowest priority for the processor. Linux derives that for disks from it (`ioprio_set(2)`).
const LOWEST: i32 = 19;

/// Pushes images out of the containerd of an engine, on this machine.
#[derive(Clone, Debug)]
pub struct Pusher {
    containerd: PathBuf,
    spool: Spool,
}

/// What is pushed, and where to.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The engine's id of the image: the digest of its manifest.
    pub id: &'a str,
    /// `registry/path`.
    pub repository: &'a str,
    /// Its tag there.
    pub tag: &'a str,
    /// Digest of an image there that may have some of the same layers. It has to be one that is believed: what it says
    /// that a layer is, is not looked at again.
    pub like: Option<&'a Digest>,
}

impl Pusher {
    /// By containerd's socket. Layers wait in `folder` until they are sent, in files without names; `reserve` bytes stay free
    /// on its disk.
    pub fn new(containerd: &Path, folder: &Path, reserve: u64) -> Self {
        Self {
            containerd: containerd.to_owned(),
            spool: Spool::new(folder, reserve),
        }
    }

    /// Pushes an image. If the future is dropped, the push ends.
    ///
    /// # Errors
    ///
    /// When it cannot be done. Layers may be in the registry then, and no image.
    pub async fn push(
        &self,
        image: &Outgoing<'_>,
        login: Option<&Login>,
        mut progress: impl FnMut(Transfer),
    ) -> Result<Pushed, PushError> {
        let unknown = || PushError::Unknown(image.id.to_owned());
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        let (report, mut reports) = watch::channel(Transfer::default());
        let (answer, mut pushed) = oneshot::channel();
        let work = Work {
            pusher: self.clone(),
            id: image.id.parse().map_err(|_| unknown())?,
            name: format!("{}:{}", image.repository, image.tag),
            tag: image.tag.to_owned(),
            like: image
                .like
                .map(|like| format!("{}@{like}", image.repository)),
            login: login.cloned(),
            report,
            given_up: given_up.clone(),
        };
        // A thread of its own, for its priority.
        thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || {
                work.run(answer);
            })?;
        loop {
            tokio::select! {
                pushed = &mut pushed => return pushed.unwrap_or_else(|_| Err(panicked())),
                changed = reports.changed() => match changed {
                    Ok(()) => progress(*reports.borrow_and_update()),
                    // It has ended, and answers.
                    Err(_) => return pushed.await.unwrap_or_else(|_| Err(panicked())),
                },
            }
        }
    }
}

/// A push, in its thread.
struct Work {
    pusher: Pusher,
    id: Digest,
    /// `registry/path:tag`.
    name: String,
    tag: String,
    /// `registry/path@digest`.
    like: Option<String>,
    login: Option<Login>,
    report: watch::Sender<Transfer>,
    given_up: CancellationToken,
}

impl Work {
    fn run(self, answer: oneshot::Sender<Result<Pushed, PushError>>) {
        step_back();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = match runtime.enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(answer.send(Err(error.into()))),
        };
        runtime.block_on(async {
            let left = Left::default();
            let pushed = tokio::select! {
                biased;
                () = self.given_up.cancelled() => Err(PushError::GivenUp),
                pushed = self.push(&left) => pushed,
            };
            // Nobody waits any more when the push was given up.
            let _ = answer.send(pushed);
            left.tell().await;
        });
    }

    /// What need not be sent again, as far as that can be found out.
    async fn known(&self, client: &RegistryClient, built: &Built) -> Known {
        let Some(like) = &self.like else {
            return Known::default();
        };
        let wanted = |diff_id: &Digest| {
            let mut layers = built.layers.iter();
            layers.any(|layer| layer.diff_id == *diff_id)
        };
        let known = Known::of(like, client, wanted, &self.pusher.spool).await;
        known.unwrap_or_else(|error| {
            tracing::info!(
                image = self.name,
                like,
                "all layers of an image are encoded: {error}"
            );
            Known::default()
        })
    }

    async fn push(&self, left: &Left) -> Result<Pushed, PushError> {
        let store = Containerd::connect(&self.pusher.containerd).await?;
        let built = Built::read(&store, &self.id).await?;
        // The platform is for indexes, which are not asked for.
        let client = RegistryClient::new(self.login.clone(), "");
        let known = self.known(&client, &built).await;
        let uploads = Uploads::begin(client, &self.name, &self.report, left).await?;
        let spool = &self.pusher.spool;
        let layers = built
            .send_layers(&store, &uploads, known, spool, &self.given_up)
            .await
            .map_err(|error| error.of(spool.folder()))?;
        let described = layers.iter().map(Sent::described).collect();
        uploads.send(&built.config()).await?;
        let index = send_index(&built, layers, &uploads, &self.tag, spool).await;
        let index = index
            .inspect_err(|error| {
                tracing::warn!(
                    image = self.name,
                    "an image is pushed without its frame index: {error}"
                );
            })
            .ok();
        let manifest = built.manifest(described, index.as_ref());
        let digest = uploads.put_manifest(&self.tag, manifest).await?;
        Ok(Pushed {
            transfer: *self.report.borrow(),
            digest: Some(digest),
            way: Way::Direct,
        })
    }
}

/// Leaves the processor and the disk to whoever else wants them: from here on this thread, and threads that it starts.
fn step_back() {
    // A thread without it works as well.
    let _ = setpriority_process(None, LOWEST);
}

fn panicked() -> PushError {
    std::io::Error::other("the push's thread has panicked").into()
}
