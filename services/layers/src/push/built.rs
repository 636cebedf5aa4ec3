//! An image in the engine's store, and what becomes of it in the registry.

use std::{collections::BTreeMap, thread};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hearth_domain::{Digest, annotation::FRAME_INDEX};
use oci_spec::image::{ImageManifest, MediaType};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    blob::Blob,
    error::PushError,
    frames::{Encoded, encode},
    known::Known,
    sent::{Sent, described},
    upload::Uploads,
};
use crate::{
    client::{MAX_CONFIG, MAX_MANIFEST},
    containerd::Containerd,
    frame_index::{LayerFrames, Rows},
    image::{Config, Layer, layers},
    layer,
    spool::Spool,
};

/// Layers that are sent at the same time. One of them may still be being encoded.
const AT_ONCE: usize = 2;
/// Pieces of a layer that wait to be encoded.
const WAITING: usize = 2;

/// An image as it was built.
pub struct Built {
    pub annotations: BTreeMap<String, String>,
    config: Bytes,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

/// A layer that was encoded.
struct Frames {
    blob: Blob,
    encoded: Encoded,
}

impl Built {
    /// Reads what says which layers the image has.
    pub async fn read(store: &Containerd, id: &Digest) -> Result<Self, PushError> {
        let unknown = || PushError::Unknown(id.to_string());
        let manifest = store.document(id, MAX_MANIFEST).await?;
        let manifest: ImageManifest = serde_json::from_slice(&manifest).map_err(|_| unknown())?;
        let config = manifest.config().digest().to_string();
        let config = config.parse().map_err(|_| unknown())?;
        let config = store.document(&config, MAX_CONFIG).await?;
        let said: Config = serde_json::from_slice(&config).map_err(|_| unknown())?;
        let layers = layers(id.as_str(), manifest.layers(), said.rootfs.diff_ids);
        let annotations = manifest.annotations().clone().unwrap_or_default();
        Ok(Self {
            annotations: annotations.into_iter().collect(),
            config: config.into(),
            layers: layers.map_err(|_| unknown())?,
        })
    }

    pub fn config(&self) -> Blob {
        Blob::of(self.config.clone())
    }

    /// The manifest of the image with these layers: of OCI's form, whatever the image was built as.
    pub fn manifest(&self, layers: Vec<Value>, index: Option<&Digest>) -> Vec<u8> {
        let Blob { digest, bytes, .. } = self.config();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": described(&MediaType::ImageConfig, &digest, bytes),
            "layers": layers,
        });
        let mut annotations = self.annotations.clone();
        // A build can have set it.
        annotations.remove(FRAME_INDEX);
        annotations.extend(index.map(|index| (FRAME_INDEX.to_owned(), index.to_string())));
        if !annotations.is_empty() {
            manifest["annotations"] = json!(annotations);
        }
        manifest.to_string().into_bytes()
    }

    /// Sends the layers that the registry does not have. One after the other is encoded, in one thread, while those before it
    /// are sent.
    pub async fn send_layers(
        &self,
        store: &Containerd,
        uploads: &Uploads<'_>,
        known: Known,
        spool: &Spool,
        given_up: &CancellationToken,
    ) -> Result<Vec<Sent>, PushError> {
        uploads.layers(self.layers.len());
        let (encoder, known) = (&Mutex::new(()), &Mutex::new(known));
        let sent = stream::iter(&self.layers).map(async |layer| {
            let like = known.lock().await.take(&layer.diff_id);
            if let Some(sent) = like
                && uploads.has(&sent.frames.digest, sent.frames.bytes).await?
            {
                uploads.layer_done();
                return Ok(sent);
            }
            let Frames { blob, encoded } = {
                let _turn = encoder.lock().await;
                encoded(store, layer, spool, given_up).await?
            };
            uploads.send(&blob).await?;
            uploads.layer_done();
            let Encoded { frames, rows } = encoded;
            Ok(Sent { frames, rows })
        });
        sent.buffered(AT_ONCE).try_collect().await
    }
}

/// A layer of the store, as frames.
async fn encoded(
    store: &Containerd,
    layer: &Layer,
    spool: &Spool,
    given_up: &CancellationToken,
) -> Result<Frames, PushError> {
    let file = spool.file()?;
    let (into, rows) = (file.try_clone()?, Rows::new(spool.file()?));
    let (pieces, arriving) = mpsc::channel(WAITING);
    let (answer, encoded) = oneshot::channel();
    let given_up = given_up.child_token();
    let _guard = given_up.clone().drop_guard();
    // It has the priority of the thread that starts it.
    thread::Builder::new()
        .name("encode".to_owned())
        .spawn(move || {
            let encoded =
                layer::archive(arriving, |archive| encode(archive, &into, rows, &given_up));
            // Nobody waits any more when the push has failed.
            let _ = answer.send(encoded);
        })?;
    let read = store.read(&layer.digest, async |piece: Bytes| {
        // The encoder says why it takes no more.
        let _ = pieces.send(piece).await;
        Ok::<_, PushError>(())
    });
    let read = read.await;
    drop(pieces);
    let encoded = encoded.await;
    read?;
    let broken = |cause| PushError::Layer {
        digest: layer.digest.clone(),
        cause,
    };
    let encoded = encoded
        .map_err(|_| broken(std::io::Error::other("a thread has panicked")))?
        .map_err(broken)?;
    let LayerFrames {
        digest,
        bytes,
        diff_id,
        ..
    } = &encoded.frames;
    if *diff_id != layer.diff_id {
        return Err(PushError::WrongLayer(layer.digest.clone()));
    }
    let blob = Blob::in_file(digest.clone(), *bytes, file.into_file());
    Ok(Frames { blob, encoded })
}
