//! An image as it is in a registry: its documents word for word, and its layers.

use std::collections::BTreeMap;

use hearth_domain::Digest;
use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use serde::Deserialize;

use crate::{
    RegistryClient, RegistryError,
    access::Access,
    client::{Found, bad_digest},
};

/// What layers can be. Foreign layers are not in the registry, and what is encrypted can be read by nobody here.
const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// An image of one platform.
pub(crate) struct Image {
    /// Configuration, manifest, and the index where there is one: each before what names it.
    pub documents: Vec<Document>,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

/// Index, manifest or configuration.
pub(crate) struct Document {
    pub digest: Digest,
    pub media_type: String,
    pub content: Vec<u8>,
    /// What it refers to, by the names that containerd has for references.
    pub children: BTreeMap<String, String>,
}

/// A layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub digest: Digest,
    pub bytes: u64,
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Names it together with all layers below it (OCI image spec, "Layer ChainID").
    pub chain_id: Digest,
}

/// What of an image's configuration says what its layers are.
#[derive(Deserialize)]
pub(crate) struct Config {
    pub rootfs: RootFs,
}

#[derive(Deserialize)]
pub(crate) struct RootFs {
    pub diff_ids: Vec<Digest>,
}

impl RegistryClient {
    /// All of `image` but its layers, for the client's platform, and what its registry is asked with.
    pub(crate) async fn whole(&self, image: &str) -> Result<(Image, Access), RegistryError> {
        let found = self.find(image).await?;
        let config = found.config(image).await?;
        let image = Image::new(image, &found, config)?;
        Ok((image, found.access))
    }
}

impl Image {
    pub fn new(image: &str, found: &Found, config: String) -> Result<Self, RegistryError> {
        let unknown = |what: &str| {
            RegistryError::Protocol(format!("the {what} of {image} has an unknown form"))
        };
        let manifest = &found.manifest;
        let parsed: Config = serde_json::from_str(&config).map_err(|_| unknown("configuration"))?;
        let layers = layers(image, manifest.layers(), parsed.rootfs.diff_ids)?;
        let mut children = BTreeMap::new();
        children.insert("config".to_owned(), manifest.config().digest().to_string());
        for (number, layer) in manifest.layers().iter().enumerate() {
            children.insert(format!("l.{number}"), layer.digest().to_string());
        }
        let mut documents = vec![Document {
            digest: Digest::of(&config),
            media_type: manifest.config().media_type().to_string(),
            content: config.into_bytes(),
            children: BTreeMap::new(),
        }];
        let mut bodies = found.bodies.iter().rev();
        let body = bodies.next().ok_or_else(|| unknown("manifest"))?;
        documents.push(document(body, &MediaType::ImageManifest, children));
        if let Some(body) = bodies.next() {
            let index: ImageIndex = serde_json::from_slice(body).map_err(|_| unknown("index"))?;
            let entries = index.manifests().iter().enumerate();
            let entries =
                entries.map(|(number, entry)| (format!("m.{number}"), entry.digest().to_string()));
            documents.push(document(body, &MediaType::ImageIndex, entries.collect()));
        }
        Ok(Self { documents, layers })
    }
}

fn document(body: &[u8], default: &MediaType, children: BTreeMap<String, String>) -> Document {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let typed = serde_json::from_slice::<Typed>(body).ok();
    let media_type = typed.and_then(|typed| typed.media_type);
    Document {
        digest: Digest::of(body),
        media_type: media_type.unwrap_or_else(|| default.to_string()),
        content: body.to_vec(),
        children,
    }
}

pub(crate) fn layers(
    image: &str,
    descriptors: &[Descriptor],
    diff_ids: Vec<Digest>,
) -> Result<Vec<Layer>, RegistryError> {
    if descriptors.len() != diff_ids.len() {
        return Err(RegistryError::Protocol(format!(
            "manifest and configuration of {image} disagree about its layers"
        )));
    }
    let mut layers: Vec<Layer> = Vec::new();
    for (descriptor, diff_id) in descriptors.iter().zip(diff_ids) {
        let media_type = descriptor.media_type().to_string();
        if !LAYER_TYPES.contains(&&media_type[..]) {
            return Err(RegistryError::Protocol(format!(
                "a layer of {image} has the media type {media_type}"
            )));
        }
        let chain_id = match layers.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{} {diff_id}", below.chain_id)),
        };
        layers.push(Layer {
            digest: descriptor
                .digest()
                .to_string()
                .parse()
                .map_err(bad_digest)?,
            bytes: descriptor.size(),
            diff_id,
            chain_id,
        });
    }
    Ok(layers)
}
