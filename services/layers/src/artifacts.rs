//! Artifacts that refer to an image, such as its signatures (OCI image spec 1.1, "subject"; OCI distribution spec 1.1,
//! "Referrers").

use std::collections::BTreeMap;

use hearth_domain::Digest;
use oci_spec::{
    distribution::Reference,
    image::{Descriptor, ImageIndex, ImageManifest, MediaType},
};
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    RegistryClient, RegistryError,
    access::{Access, finish, read_body},
    client::{MAX_MANIFEST, bad_digest, check_digest, get_manifest, in_time, manifest_path},
    referrers::{add_under_tag, list, remove_under_tag},
};

/// Bytes of what an artifact holds. A signed list of an image's inputs, in base64, has 3 MiB at most.
const MAX_BLOB: usize = 4 * 1024 * 1024;
/// The configuration of an artifact that has none (OCI image spec, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY: &[u8] = b"{}";
pub(crate) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Something that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Media type of `content`, and of the artifact.
    pub media_type: &'static str,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<&'static str, String>,
    /// What it holds.
    pub content: Vec<u8>,
}

/// An artifact in a registry, as the list of those that refer to an image has it. Anybody who may push wrote that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl RegistryClient {
    /// The artifacts of a media type that refer to `image` (`repository@digest`).
    pub async fn referrers(
        &self,
        image: &str,
        media_type: &str,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let index: ImageIndex = in_time(async {
            let (access, reference) = self.log_in(image, "pull").await?;
            let list = list(&access, &reference).await?;
            serde_json::from_value(list).map_err(|_| {
                RegistryError::Protocol(format!("what refers to {image} has an unknown form"))
            })
        })
        .await?;
        let is_meant = |entry: &&Descriptor| {
            let found = entry.artifact_type().as_ref().map(MediaType::to_string);
            found.as_deref() == Some(media_type)
        };
        let meant = index.manifests().iter().filter(is_meant);
        meant
            .map(|entry| {
                Ok(Referrer {
                    digest: entry.digest().to_string().parse().map_err(bad_digest)?,
                    annotations: entry
                        .annotations()
                        .clone()
                        .unwrap_or_default()
                        .into_iter()
                        .collect(),
                })
            })
            .collect()
    }

    /// What the artifact `image` (`repository@digest`) holds. It has to have one layer.
    pub async fn content(&self, image: &str) -> Result<Vec<u8>, RegistryError> {
        let (access, reference) = self.log_in(image, "pull").await?;
        let (_, body) = in_time(get_manifest(&access, &reference)).await?;
        let unknown =
            || RegistryError::Protocol(format!("the artifact {image} has an unknown form"));
        let manifest: ImageManifest = serde_json::from_slice(&body).map_err(|_| unknown())?;
        let [layer] = &manifest.layers()[..] else {
            return Err(unknown());
        };
        let digest: Digest = layer.digest().to_string().parse().map_err(bad_digest)?;
        in_time(async {
            let answer = access.send(Method::GET, &format!("blobs/{digest}")).await?;
            let blob = read_body(answer, MAX_BLOB).await?;
            match Digest::of(&blob) == digest {
                true => Ok(blob),
                false => Err(unknown()),
            }
        })
        .await
    }

    /// Pushes artifacts that refer to `image` (`repository@digest`).
    pub async fn attach(&self, image: &str, artifacts: &[Artifact]) -> Result<(), RegistryError> {
        let (access, reference) = self.log_in(image, "pull,push").await?;
        let subject = in_time(describe(&access, &reference)).await?;
        push_blob(&access, EMPTY.to_vec()).await?;
        let mut unlisted = Vec::new();
        for artifact in artifacts {
            push_blob(&access, artifact.content.clone()).await?;
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MediaType::ImageManifest.to_string(),
                "artifactType": artifact.media_type,
                "config": descriptor(EMPTY_TYPE, EMPTY),
                "layers": [descriptor(artifact.media_type, &artifact.content)],
                "subject": subject,
                "annotations": artifact.annotations,
            });
            let body = manifest.to_string().into_bytes();
            let mut listed = descriptor(MediaType::ImageManifest.as_ref(), &body);
            let path = format!("manifests/{}", Digest::of(&body));
            let answer = access
                .put_manifest(&path, MediaType::ImageManifest.to_string(), body)
                .await?;
            // A registry that keeps the list says so.
            let keeps_list = answer.headers().contains_key("oci-subject");
            finish(answer).await;
            if !keeps_list {
                listed["artifactType"] = artifact.media_type.into();
                listed["annotations"] = json!(artifact.annotations);
                unlisted.push(listed);
            }
        }
        match unlisted.is_empty() {
            true => Ok(()),
            false => add_under_tag(&access, &reference, unlisted).await,
        }
    }

    /// Gives `image` (`repository@digest`) one more tag, which may have been that of another one.
    pub async fn tag(&self, image: &str, tag: &str) -> Result<(), RegistryError> {
        let (access, reference) = self.log_in(image, "pull,push").await?;
        let (media_type, body) = in_time(typed_manifest(&access, &reference)).await?;
        let path = format!("manifests/{tag}");
        finish(access.put_manifest(&path, media_type, body).await?).await;
        Ok(())
    }

    /// Deletes artifacts of `image` (`repository@digest`), and takes them from the list under its tag; a list that is empty
    /// then is deleted, too.
    pub async fn detach(&self, image: &str, artifacts: &[Digest]) -> Result<(), RegistryError> {
        let (access, reference) = self.log_in(image, "pull,push").await?;
        let empty = remove_under_tag(&access, &reference, artifacts).await?;
        for gone in artifacts.iter().chain(&empty) {
            let gone = reference.clone_with_digest(gone.to_string()).whole();
            match self.delete(&gone).await {
                Ok(()) | Err(RegistryError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The image as its artifacts name it.
async fn describe(access: &Access, reference: &Reference) -> Result<Value, RegistryError> {
    let (media_type, body) = typed_manifest(access, reference).await?;
    Ok(descriptor(&media_type, &body))
}

/// A manifest as it is in the registry, with its media type.
async fn typed_manifest(
    access: &Access,
    reference: &Reference,
) -> Result<(String, Vec<u8>), RegistryError> {
    let answer = access.send(Method::GET, &manifest_path(reference)).await?;
    let media_type = answer.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|media_type| media_type.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let body = read_body(answer, MAX_MANIFEST).await?;
    check_digest(reference, Digest::of(&body))?;
    Ok((media_type, body))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(content).as_str(),
        "size": content.len(),
    })
}

/// Pushes a blob in one piece, unless it is there (OCI distribution spec, "Pushing a blob monolithically").
async fn push_blob(access: &Access, content: Vec<u8>) -> Result<(), RegistryError> {
    let digest = Digest::of(&content);
    if let Ok(there) = access.send(Method::HEAD, &format!("blobs/{digest}")).await {
        finish(there).await;
        return Ok(());
    }
    let begun = access.send(Method::POST, "blobs/uploads/").await?;
    let place = begun.headers().get(header::LOCATION);
    let place = place.and_then(|place| access.own_url(place.to_str().ok()?));
    finish(begun).await;
    let mut place = place
        .ok_or_else(|| RegistryError::Protocol("it does not say where to upload to".to_owned()))?;
    place
        .query_pairs_mut()
        .append_pair("digest", digest.as_str());
    let octets = "application/octet-stream".to_owned();
    finish(access.put(place, octets, content).await?).await;
    Ok(())
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
