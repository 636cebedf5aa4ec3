//! The layers of an image that is imported, and its names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    thread::JoinHandle,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_spec::distribution::Reference;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::sync::{mpsc, watch};

use crate::{
    Pulled, Way,
    blob::Blobs,
    containerd::{Containerd, Lease, Upper},
    image::{Image, Layer},
    import::{ImportError, Progress},
    layer::{Implied, Unpack, Written, complete, start},
};

/// Layers that are fetched and unpacked at the same time. Each takes up to 40 MiB of memory.
const AT_ONCE: usize = 4;
/// Bytes of a message with content; containerd takes 16 MiB.
const MESSAGE: usize = 1024 * 1024;

type Labels = HashMap<String, String>;

/// The import of an image, under a lease.
pub(crate) struct Layers<'a> {
    pub store: &'a Containerd,
    pub lease: &'a Lease,
    pub blobs: &'a Blobs,
    pub image: &'a Image,
    pub reference: &'a Reference,
    pub report: &'a watch::Sender<Progress>,
    pub threads: &'a Threads,
}

/// Threads that are waited for.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    fn add(&self, thread: JoinHandle<()>) {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(thread);
    }

    /// Waits until all have ended.
    pub fn join(self) {
        for thread in self
            .0
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
        {
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
        let total = layers[there..]
            .iter()
            .fold(0, |sum: u64, layer| sum.saturating_add(layer.bytes));
        self.report
            .send_modify(|progress| progress.transfer.total = total);
        let (staged, arrived) = mpsc::unbounded_channel();
        let unpack = async move {
            let missing = stream::iter(layers.iter().enumerate().skip(there));
            let unpacked = missing.map(|(number, layer)| async move {
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
            transfer: self.report.borrow().transfer,
            present: present.collect(),
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

    /// Fetches a layer, unpacks it into a folder, and stores its blob: pushes and builds on top of the image need that.
    async fn unpack(&self, number: usize, layer: &Layer) -> Result<Staged, ImportError> {
        let name = format!("layer-{number}");
        let upper = self.store.prepare(self.lease, &name, None).await?;
        let Unpack {
            blob,
            written,
            thread,
        } = start(upper.folder.clone(), number > 0)?;
        self.threads.add(thread);
        let mut labels = Labels::new();
        labels.insert(
            "containerd.io/uncompressed".to_owned(),
            layer.diff_id.to_string(),
        );
        let is_stored = self
            .store
            .has_content(self.lease, &layer.digest, &labels)
            .await?;
        labels.extend([self.source()]);
        let (pieces, to_store) = mpsc::channel(1);
        let pieces = (!is_stored).then_some(pieces);
        let fetch = async move {
            let take = async |part: bytes::Bytes| {
                self.report
                    .send_modify(|progress| progress.transfer.done += part.len() as u64);
                blob.send(part.clone())
                    .await
                    .map_err(|_| ImportError::NotTaken)?;
                if let Some(pieces) = &pieces {
                    for at in (0..part.len()).step_by(MESSAGE) {
                        let piece = part.slice(at..part.len().min(at + MESSAGE));
                        pieces
                            .send(piece)
                            .await
                            .map_err(|_| ImportError::NotTaken)?;
                    }
                }
                Ok(())
            };
            self.blobs.fetch(&layer.digest, layer.bytes, take).await
        };
        let store = async {
            match is_stored {
                true => Ok(()),
                false => {
                    self.store
                        .store(self.lease, &layer.digest, layer.bytes, labels, to_store)
                        .await
                }
            }
        };
        let (fetched, stored, written) = tokio::join!(fetch, store, written);
        let failed = |cause| ImportError::Layer {
            digest: layer.digest.clone(),
            cause,
        };
        let panicked = |_| failed(std::io::Error::other("a thread has panicked").into());
        match fetched {
            Err(ImportError::NotTaken) => {}
            other => other?,
        }
        let Written { diff_id, implied } = written.map_err(panicked)?.map_err(failed)?;
        if diff_id != layer.diff_id {
            return Err(ImportError::WrongLayer {
                digest: layer.digest.clone(),
            });
        }
        stored?;
        Ok(Staged { upper, implied })
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
                self.report.send_modify(|progress| progress.steps += 1);
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
        renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).map_err(std::io::Error::from)?;
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

fn hex(layer: &Layer) -> &str {
    layer.digest.as_str().trim_start_matches("sha256:")
}
