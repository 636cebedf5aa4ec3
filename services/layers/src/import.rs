//! Fetches an image into the store of an engine without the engine: all layers at once, each in several threads. The engine
//! unpacks one layer after the other, each in one thread.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
};

use hearth_domain::Login;
use oci_spec::distribution::Reference;
use tokio::sync::{oneshot, watch};

use crate::{
    Mirror, Neighbour, Offer, Pulled, Pusher, RegistryClient, Transfer,
    blob::Blobs,
    containerd::{Containerd, ContainerdError},
    image::Image,
    import_error::{ImportError, STALL},
    import_layers::{Fetched, Layers, Threads},
    layer::Ongoing,
    sources::{RegistryRate, Sources},
};

/// Imports images into the containerd of an engine. It has to have the overlayfs snapshotter, on this machine.
#[derive(Clone, Debug)]
pub struct Importer {
    containerd: PathBuf,
    platform: String,
    mirrors: Vec<Mirror>,
    rate: RegistryRate,
}

/// What is near this node: other nodes that have an image, and what they get from here.
#[derive(Debug, Default)]
pub struct Near {
    /// Who is asked for layers before the registry, the first one first.
    pub neighbours: Vec<Neighbour>,
    /// What they are offered. `None`: nothing.
    pub offer: Option<Offer>,
}

impl Importer {
    /// By containerd's socket, for images of `platform` (`os/architecture`).
    pub fn new(containerd: &Path, platform: impl Into<String>) -> Self {
        Self {
            containerd: containerd.to_owned(),
            platform: platform.into(),
            mirrors: Vec::new(),
            rate: RegistryRate::default(),
        }
    }

    /// What pushes images out of the same containerd. Layers wait in `folder` until they are sent; `reserve` bytes stay free on
    /// its disk.
    pub fn pusher(&self, folder: &Path, reserve: u64) -> Pusher {
        Pusher::new(&self.containerd, folder, reserve)
    }

    /// Asks these before the registries that they mirror.
    #[must_use]
    pub fn with_mirrors(self, mirrors: Vec<Mirror>) -> Self {
        Self { mirrors, ..self }
    }

    /// Removes what is left of imports that were cut off with their process. Returns how many there were.
    ///
    /// # Errors
    ///
    /// When containerd cannot be used.
    pub async fn sweep(&self) -> Result<usize, ContainerdError> {
        Containerd::connect(&self.containerd).await?.sweep().await
    }

    /// Imports `image` (`repository@digest`), as if the engine had pulled it. If the future is dropped, the import ends and
    /// what it made is removed.
    ///
    /// # Errors
    ///
    /// When it cannot be done; nothing is left then.
    pub async fn import(
        &self,
        image: &str,
        login: Option<&Login>,
        near: Near,
        mut progress: impl FnMut(Transfer),
    ) -> Result<Pulled, ImportError> {
        let reference = image.parse::<Reference>().ok();
        let reference = reference.filter(|reference| reference.digest().is_some());
        let reference = reference.ok_or_else(|| ImportError::NotByDigest(image.to_owned()))?;
        let ongoing = Ongoing::default();
        let _guard = ongoing.given_up.clone().drop_guard();
        let decoded = ongoing.decoded.clone();
        let (report, mut reports) = watch::channel(Transfer::default());
        let (answer, mut imported) = oneshot::channel();
        let work = Work {
            importer: self.clone(),
            image: image.to_owned(),
            reference,
            login: login.cloned(),
            near,
            ongoing,
            report,
        };
        // A thread of its own: it goes on until all is removed when nobody waits any more, and what it does between two waits
        // holds up nothing else.
        thread::Builder::new()
            .name("import".to_owned())
            .spawn(move || {
                work.run(answer);
            })?;
        let mut before = 0;
        loop {
            tokio::select! {
                imported = &mut imported => {
                    return imported.unwrap_or_else(|_| {
                        Err(std::io::Error::other("the import's thread has panicked").into())
                    });
                }
                changed = reports.changed() => match changed {
                    Ok(()) => progress(*reports.borrow_and_update()),
                    // It has ended, and answers.
                    Err(_) => return imported.await.unwrap_or(Err(ImportError::GivenUp)),
                },
                // What has arrived can take longer to decode.
                () = tokio::time::sleep(STALL) => match decoded.load(Ordering::Relaxed) {
                    now if now == before => return Err(ImportError::Stalled),
                    now => before = now,
                },
            }
        }
    }
}

type Answer = oneshot::Sender<Result<Pulled, ImportError>>;

/// An import, in its thread.
struct Work {
    importer: Importer,
    image: String,
    reference: Reference,
    login: Option<Login>,
    near: Near,
    ongoing: Ongoing,
    report: watch::Sender<Transfer>,
}

impl Work {
    fn run(self, answer: Answer) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        match runtime.enable_all().build() {
            Ok(runtime) => runtime.block_on(self.import(answer)),
            Err(error) => drop(answer.send(Err(error.into()))),
        }
    }

    /// All of the image but its layers, from a mirror or the registry, and where the layers are.
    async fn find(&self) -> Result<(Image, Sources), ImportError> {
        let Importer {
            platform,
            mirrors,
            rate,
            ..
        } = &self.importer;
        let client = RegistryClient::new(self.login.clone(), platform.clone());
        let mut mirrored = None;
        let registry = self.reference.registry();
        for mirror in mirrors.iter().filter(|mirror| mirror.is_for(registry)) {
            match mirror.whole(&client, &self.image).await {
                Ok((image, access)) => {
                    mirrored = Some((image, (mirror.clone(), access)));
                    break;
                }
                Err(error) => tracing::info!(
                    image = self.image,
                    "the registry is asked, and not {mirror}: {error}"
                ),
            }
        }
        let (image, access, mirror) = match mirrored {
            Some((image, mirror)) => (image, None, Some(mirror)),
            None => {
                let (image, access) = client.whole(&self.image).await?;
                (image, Some(access), None)
            }
        };
        let registry = Blobs::new(client, &self.image, access);
        let neighbours = self.near.neighbours.clone();
        let sources = Sources::new(registry, rate.clone(), neighbours, mirror);
        Ok((image, sources))
    }

    /// Imports the image. The answer comes when it can be used; what is left to do then is not waited for.
    async fn import(mut self, answer: Answer) {
        let begun = async {
            let store = Containerd::connect(&self.importer.containerd).await?;
            let (image, sources) = self.find().await?;
            let lease = store.lease().await?;
            Ok((store, image, lease, sources))
        };
        let (store, image, lease, sources) = match begun.await {
            Ok(begun) => begun,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let (threads, fetched) = (Threads::default(), Fetched::default());
        let layers = Layers {
            store: &store,
            lease: &lease,
            containerd: &self.importer.containerd,
            sources: &sources,
            offer: self.near.offer.as_ref(),
            image: &image,
            reference: &self.reference,
            report: &self.report,
            threads: &threads,
            ongoing: &self.ongoing,
            fetched: &fetched,
        };
        let import = async {
            let pulled = layers.import().await?;
            layers.enter().await?;
            Ok(pulled)
        };
        let imported = tokio::select! {
            biased;
            () = self.ongoing.given_up.cancelled() => Err(ImportError::GivenUp),
            imported = import => imported,
        };
        let is_whole = imported.is_ok();
        let mut answer = Some((answer, imported));
        // Nobody waits any more for one that was given up.
        let mut tell = || {
            answer
                .take()
                .map(|(answer, imported)| answer.send(imported))
        };
        if is_whole {
            tell();
            if let Err(error) = layers.store_blobs().await {
                tracing::warn!(
                    image = self.image,
                    "builds on top of an image have to fetch its layers again: {error}"
                );
            }
        }
        if let Some(offer) = self.near.offer.take().filter(|_| is_whole) {
            offer.keep();
        }
        // What they write into must not be removed before they have ended.
        self.ongoing.given_up.cancel();
        threads.join();
        // On a full disk containerd needs room to remove what is there.
        drop(fetched.take());
        if let Err(error) = store.end(lease, !is_whole).await {
            tracing::warn!(
                image = self.image,
                "what an import made is kept for a day: {error}"
            );
        }
        tell();
    }
}
