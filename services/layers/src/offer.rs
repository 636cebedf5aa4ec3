//! What a node offers its neighbours: the layers of images that it fetches or has fetched, and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use hearth_domain::{Digest, sha256_hex};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::image::Layer;

/// Images that are offered after they were fetched; the oldest is no longer offered then.
const KEPT: usize = 64;

/// The images that this node offers. Each has a token of its own: who knows it gets the layers of this image.
#[derive(Clone, Debug, Default)]
pub struct Offers(Arc<Offered>);

#[derive(Debug, Default)]
struct Offered {
    /// By the SHA-256 of their tokens, so that the time of a look-up tells nothing of them.
    images: Mutex<HashMap<String, Weak<OfferedImage>>>,
    /// Those whose fetch has ended well.
    kept: Mutex<VecDeque<Arc<OfferedImage>>>,
}

/// An image, while it is fetched. It is not offered any more when this is dropped, unless it was kept.
#[derive(Clone, Debug)]
pub struct Offer {
    offers: Offers,
    token: SecretString,
    image: Arc<OfferedImage>,
}

/// What is known of an image that is offered.
#[derive(Debug)]
struct OfferedImage {
    /// Not there before its manifest was read.
    layers: watch::Sender<Option<Arc<OfferedLayers>>>,
}

/// The layers of an image that is offered.
#[derive(Debug)]
pub(crate) struct OfferedLayers {
    containerd: PathBuf,
    layers: HashMap<Digest, OfferedLayer>,
}

/// A blob that is offered. An image can have it as several layers, as it often has an empty one: only the lowest of them says
/// where it is. That may be in the engine's store already, and a reader cannot change from one's file to another's.
#[derive(Debug)]
struct OfferedLayer {
    /// Of the lowest layer.
    chain_id: Digest,
    bytes: u64,
    held: watch::Sender<Held>,
}

/// Where the blob of a layer is.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// It has not been begun.
    Awaited,
    /// In a file, as far as it has arrived. Nothing of it is verified.
    Arriving { file: Arc<File>, bytes: u64 },
    /// In the engine's store, or nowhere.
    InStore,
}

/// A layer that was found.
pub(crate) struct Found {
    pub bytes: u64,
    pub held: watch::Receiver<Held>,
    pub containerd: PathBuf,
}

impl Offers {
    /// Begins to offer an image, under a new token.
    pub fn offer(&self) -> Offer {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let token = format!("{}{}", random(), random());
        let image = Arc::new(OfferedImage {
            layers: watch::Sender::new(None),
        });
        let mut images = self.0.images.lock();
        images.retain(|_, image| image.strong_count() > 0);
        images.insert(sha256_hex(&token), Arc::downgrade(&image));
        Offer {
            offers: self.clone(),
            token: token.into(),
            image,
        }
    }

    /// The image that is offered under a token.
    pub(crate) fn image(&self, token: &str) -> Option<watch::Receiver<Option<Arc<OfferedLayers>>>> {
        let images = self.0.images.lock();
        let image = images.get(&sha256_hex(token))?.upgrade()?;
        Some(image.layers.subscribe())
    }
}

impl OfferedLayers {
    /// A layer, if the image has it.
    pub fn find(&self, digest: &Digest) -> Option<Found> {
        let layer = self.layers.get(digest)?;
        Some(Found {
            bytes: layer.bytes,
            held: layer.held.subscribe(),
            containerd: self.containerd.clone(),
        })
    }
}

impl Offer {
    /// What a neighbour has to know.
    pub fn token(&self) -> &str {
        self.token.expose_secret()
    }

    /// Says which layers the image has, of which the lowest `there` are in the engine's store, at `containerd`.
    pub(crate) fn begin(&self, containerd: &Path, layers: &[Layer], there: usize) {
        let mut offered = HashMap::new();
        for (number, layer) in layers.iter().enumerate() {
            let held = match number < there {
                true => Held::InStore,
                false => Held::Awaited,
            };
            offered
                .entry(layer.digest.clone())
                .or_insert_with(|| OfferedLayer {
                    chain_id: layer.chain_id.clone(),
                    bytes: layer.bytes,
                    held: watch::Sender::new(held),
                });
        }
        let layers = OfferedLayers {
            containerd: containerd.to_owned(),
            layers: offered,
        };
        self.image.layers.send_replace(Some(Arc::new(layers)));
    }

    /// Says where the blob of a layer is now.
    pub(crate) fn hold(&self, layer: &Layer, held: Held) {
        if let Some(layers) = &*self.image.layers.borrow()
            && let Some(offered) = layers.layers.get(&layer.digest)
            && offered.chain_id == layer.chain_id
        {
            offered.held.send_replace(held);
        }
    }

    /// Goes on offering the image, whose layers are in the engine's store now.
    pub(crate) fn keep(self) {
        if let Some(layers) = &*self.image.layers.borrow() {
            for layer in layers.layers.values() {
                // What could not be stored is not there. Its file is closed in either case.
                layer.held.send_replace(Held::InStore);
            }
        }
        let mut kept = self.offers.0.kept.lock();
        kept.push_back(self.image.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}
