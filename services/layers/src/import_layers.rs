//! The layers of an image that is imported, and its names.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
    sync::Arc,
    thread::JoinHandle,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_spec::distribution::Reference;
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with};
use tokio::sync::{mpsc, watch};

use crate::{
    Offer, Pulled, Transfer, Way,
    containerd::{Containerd, Lease, Upper},
    image::{Image, Layer},
    import_error::ImportError,
    layer::{Implied, Ongoing, Unpack, complete, start},
    offer::Held,
    sources::{Helpers, Sources},
};

/// Layers that are fetched and unpacked at the same time. What arrives for each takes up to 24 MiB of memory, besides what
/// they share.
const AT_ONCE: usize = 4;
/// Bytes of a message with content; containerd takes 16 MiB.
const MESSAGE: usize = 1024 * 1024;

type Labels = HashMap<String, String>;

/// The import of an image, under a lease.
pub(crate) struct Layers<'a> {
    pub store: &'a Containerd,
    pub lease: &'a Lease,
    /// Its socket.
    pub containerd: &'a Path,
    pub sources: &'a Sources,
    pub offer: Option<&'a Offer>,
    pub image: &'a Image,
    pub reference: &'a Reference,
    pub report: &'a watch::Sender<Transfer>,
    pub threads: &'a Threads,
    pub ongoing: &'a Ongoing,
    pub fetched: &'a Fetched,
}

/// The blobs of the layers that were fetched.
#[derive(Default)]
pub(crate) struct Fetched(Mutex<Vec<(Layer, Arc<File>)>>);

impl Fetched {
    fn add(&self, layer: Layer, blob: Arc<File>) {
        self.0.lock().push((layer, blob));
    }

    /// All of them, which are gone when they are dropped.
    pub fn take(&self) -> Vec<(Layer, Arc<File>)> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Threads that are waited for.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    fn add(&self, thread: JoinHandle<()>) {
        self.0.lock().push(thread);
    }

    /// Waits until all have ended.
    pub fn join(self) {
        for thread in self.0.into_inner() {
            // One that panicked has said so where its work was waited for.
            let _ = thread.join();
        }
    }
}

/// A layer that is unpacked, and is not part of the image yet.
struct Staged {
    upper: Upper,
    implied: Implied,
}

impl Layers<'_> {
    /// Fetches and unpacks the layers that are not there.
    pub async fn import(&self) -> Result<Pulled, ImportError> {
        let layers = &self.image.layers;
        let there = self.count_present().await?;
        if let Some(offer) = self.offer {
            offer.begin(self.containerd, layers, there);
        }
        let total = layers[there..]
            .iter()
            .fold(0, |sum: u64, layer| sum.saturating_add(layer.bytes));
        self.report.send_modify(|progress| {
            progress.total = total;
            progress.layers_total = u32::try_from(layers.len() - there).unwrap_or(u32::MAX);
        });
        let (staged, arrived) = mpsc::unbounded_channel();
        let unpack = async move {
            let mut missing: Vec<_> = layers.iter().enumerate().skip(there).collect();
            // The largest take longest, and have threads of their own: the others are unpacked meanwhile.
            missing.sort_by_key(|(_, layer)| Reverse(layer.bytes));
            let unpacked = stream::iter(missing).map(|(number, layer)| async move {
                self.unpack(number, layer)
                    .await
                    .map(|layer| (number, layer))
            });
            let mut unpacked = unpacked.buffer_unordered(AT_ONCE);
            while let Some(layer) = unpacked.try_next().await? {
                // The other end is waited for, and says why if it is gone.
                let _ = staged.send(layer);
            }
            Ok::<_, ImportError>(())
        };
        tokio::try_join!(unpack, self.commit_in_order(there, arrived))?;
        let present = layers[..there].iter().map(|layer| hex(layer).to_owned());
        Ok(Pulled {
            transfer: *self.report.borrow(),
            present: present.collect(),
            from: self.sources.bytes(),
            way: Way::Direct,
        })
    }

    /// Stores what says which layers the image has, and names it last: without its name it is no image.
    pub async fn enter(&self) -> Result<(), ImportError> {
        let top = self.image.layers.last();
        for (number, document) in self.image.documents.iter().enumerate() {
            let children = document.children.iter();
            let mut labels: Labels = children
                .map(|(name, digest)| {
                    (
                        format!("containerd.io/gc.ref.content.{name}"),
                        digest.clone(),
                    )
                })
                .collect();
            if let Some(top) = top
                && number == 0
            {
                let name = "containerd.io/gc.ref.snapshot.overlayfs".to_owned();
                labels.insert(name, top.chain_id.to_string());
            }
            labels.extend([self.source()]);
            self.store
                .store_document(self.lease, &document.content, labels)
                .await?;
        }
        if let Some(document) = self.image.documents.last() {
            let (digest, bytes) = (&document.digest, document.content.len());
            let name = self.reference.whole();
            self.store
                .name_image(self.lease, &name, digest, &document.media_type, bytes)
                .await?;
        }
        Ok(())
    }

    /// Stores the blobs of layers, for builds on top of the image and for pushes: nothing else needs them, and it takes as long
    /// as all the rest.
    pub async fn store_blobs(&self) -> Result<(), ImportError> {
        for (layer, blob) in self.fetched.take() {
            let mut labels = Labels::new();
            let name = "containerd.io/uncompressed".to_owned();
            labels.insert(name, layer.diff_id.to_string());
            if self
                .store
                .has_content(self.lease, &layer.digest, &labels)
                .await?
            {
                continue;
            }
            labels.extend([self.source()]);
            (&*blob).rewind()?;
            let (pieces, to_store) = mpsc::channel(1);
            let read = async move {
                loop {
                    let mut piece = Vec::with_capacity(MESSAGE);
                    (&*blob).take(MESSAGE as u64).read_to_end(&mut piece)?;
                    if piece.is_empty() || pieces.send(piece.into()).await.is_err() {
                        return Ok::<_, ImportError>(());
                    }
                }
            };
            let store = self
                .store
                .store(self.lease, &layer.digest, layer.bytes, labels, to_store);
            tokio::try_join!(read, async { Ok(store.await?) })?;
            self.hold(&layer, Held::InStore);
        }
        Ok(())
    }

    /// How many layers are there, from the lowest on.
    async fn count_present(&self) -> Result<usize, ImportError> {
        for (number, layer) in self.image.layers.iter().enumerate().rev() {
            if self
                .store
                .has_snapshot(self.lease, layer.chain_id.as_str())
                .await?
            {
                return Ok(number + 1);
            }
        }
        Ok(0)
    }

    /// Fetches a layer and unpacks it into a folder, and does so once more, from the registry alone, if others sent something
    /// else.
    async fn unpack(&self, number: usize, layer: &Layer) -> Result<Staged, ImportError> {
        let (name, helpers) = (format!("layer-{number}"), Helpers::default());
        let upper = self.store.prepare(self.lease, &name, None).await?;
        let (folder, is_upper, taken) = (&upper.folder, number > 0, Cell::new(0));
        let near = Some(&helpers);
        let unpacked = self
            .unpack_into(folder, is_upper, layer, near, &taken)
            .await
            // A full disk is no fault of others.
            .map_err(|error| error.of(layer, folder));
        match unpacked {
            Err(ImportError::Layer { .. } | ImportError::WrongLayer { .. })
                if self.sources.blame(&helpers) => {}
            Ok(implied) => return Ok(Staged { upper, implied }),
            Err(error) => return Err(error),
        }
        self.hold(layer, Held::Awaited);
        self.report
            .send_modify(|progress| progress.done -= taken.take());
        // First: it may have filled the disk.
        self.store.discard(&upper.key).await?;
        let upper = self.store.prepare(self.lease, &name, None).await?;
        let folder = &upper.folder;
        let unpacked = self.unpack_into(folder, is_upper, layer, None, &taken);
        let implied = unpacked.await.map_err(|error| error.of(layer, folder))?;
        Ok(Staged { upper, implied })
    }

    /// Fetches a layer and unpacks it into a folder. Its blob is kept in a file without a name.
    async fn unpack_into(
        &self,
        folder: &Path,
        is_upper: bool,
        layer: &Layer,
        helpers: Option<&Helpers>,
        taken: &Cell<u64>,
    ) -> Result<Implied, ImportError> {
        let kept = Arc::new(unnamed_file(folder)?);
        let keep = self.keep(layer, kept.clone());
        let Unpack {
            blob,
            written,
            thread,
        } = start(folder.to_owned(), keep, is_upper, self.ongoing.clone())?;
        self.threads.add(thread);
        let fetch = async {
            let take = async |part: Bytes| {
                let bytes = part.len() as u64;
                taken.update(|taken| taken + bytes);
                self.report.send_modify(|progress| progress.done += bytes);
                blob.send(part).await.map_err(|_| ImportError::NotTaken)
            };
            let fetched = self
                .sources
                .fetch(&layer.digest, layer.bytes, helpers, take)
                .await;
            // The layer ends here.
            drop(blob);
            fetched
        };
        let (fetched, written) = tokio::join!(fetch, written);
        let failed = |cause| ImportError::Layer {
            digest: layer.digest.clone(),
            cause,
        };
        let panicked = |_| failed(io::Error::other("a thread has panicked").into());
        match fetched {
            // Why is said below.
            Ok(()) | Err(ImportError::NotTaken) => {}
            Err(error) => return Err(error),
        }
        let written = written.map_err(panicked)?.map_err(failed)?;
        if written.blob != layer.digest || written.diff_id != layer.diff_id {
            return Err(ImportError::WrongLayer {
                digest: layer.digest.clone(),
            });
        }
        self.fetched.add(layer.clone(), kept);
        Ok(written.implied)
    }

    /// Keeps the pieces of a blob in a file, in which neighbours find them.
    fn keep(
        &self,
        layer: &Layer,
        file: Arc<File>,
    ) -> impl FnMut(&[u8]) -> io::Result<()> + Send + 'static {
        let (offer, layer, mut bytes) = (self.offer.cloned(), layer.clone(), 0);
        let hold = move |file: &Arc<File>, bytes| {
            let file = file.clone();
            if let Some(offer) = &offer {
                offer.hold(&layer, Held::Arriving { file, bytes });
            }
        };
        hold(&file, 0);
        move |piece| {
            (&*file).write_all(piece)?;
            bytes += piece.len() as u64;
            hold(&file, bytes);
            Ok(())
        }
    }

    /// Says where neighbours find the blob of a layer.
    fn hold(&self, layer: &Layer, held: Held) {
        if let Some(offer) = self.offer {
            offer.hold(layer, held);
        }
    }

    /// Puts unpacked layers on top of each other as they arrive.
    async fn commit_in_order(
        &self,
        mut next: usize,
        mut arrived: mpsc::UnboundedReceiver<(usize, Staged)>,
    ) -> Result<(), ImportError> {
        let layers = &self.image.layers;
        let mut waiting = BTreeMap::new();
        while let Some((number, staged)) = arrived.recv().await {
            waiting.insert(number, staged);
            while let Some(staged) = waiting.remove(&next) {
                let below = next
                    .checked_sub(1)
                    .map(|below| layers[below].chain_id.as_str());
                self.commit(&staged, next, below, layers[next].chain_id.as_str())
                    .await?;
                next += 1;
                self.report
                    .send_modify(|progress| progress.layers_done += 1);
            }
        }
        Ok(())
    }

    async fn commit(
        &self,
        staged: &Staged,
        number: usize,
        below: Option<&str>,
        name: &str,
    ) -> Result<(), ImportError> {
        let key = format!("top-{number}");
        let upper = self.store.prepare(self.lease, &key, below).await?;
        complete(&staged.upper.folder, &staged.implied, &upper.below)?;
        // Both are on the file system of the snapshotter, and the other one is empty.
        let (from, to) = (&staged.upper.folder, &upper.folder);
        renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).map_err(io::Error::from)?;
        self.store.commit(self.lease, &upper, name).await?;
        self.store.discard(&staged.upper.key).await?;
        Ok(())
    }

    /// Where content comes from, as containerd notes it: a push to the same registry needs not send it again.
    fn source(&self) -> (String, String) {
        let host = self.reference.registry();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        (
            format!("containerd.io/distribution.source.{host}"),
            self.reference.repository().to_owned(),
        )
    }
}

/// A file on the file system of `folder` that is gone when it is closed, also by a kill.
fn unnamed_file(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(open(folder, flags, Mode::RUSR)?))
}

fn hex(layer: &Layer) -> &str {
    layer.digest.as_str().trim_start_matches("sha256:")
}
