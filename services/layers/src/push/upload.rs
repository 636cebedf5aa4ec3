//! Sends blobs and manifests to a registry (OCI distribution spec, "Pushing Blobs"), each from where it broke off.

mod session;
mod step;

use std::sync::Arc;

use hearth_domain::Digest;
use oci_spec::image::MediaType;
use reqwest::{Method, header};
use tokio::sync::{Mutex, watch};

use super::blob::Blob;
use crate::{
    RegistryClient, RegistryError, Transfer,
    access::{Access, Refused, finish},
    blob::Tries,
};
pub use session::Left;
use step::Upload;

/// Where an image is pushed to.
pub struct Uploads<'a> {
    client: RegistryClient,
    name: &'a str,
    /// A token can end before the last blob is sent.
    access: Mutex<Arc<Access>>,
    report: &'a watch::Sender<Transfer>,
    left: &'a Left,
}

impl<'a> Uploads<'a> {
    /// Logs in where `name` (`registry/path:tag`) is pushed to. `left` gets the uploads that do not end.
    pub async fn begin(
        client: RegistryClient,
        name: &'a str,
        report: &'a watch::Sender<Transfer>,
        left: &'a Left,
    ) -> Result<Self, RegistryError> {
        let access = log_in(&client, name).await?;
        Ok(Self {
            client,
            name,
            access: Mutex::new(Arc::new(access)),
            report,
            left,
        })
    }

    /// Sends a blob, unless the registry has it.
    pub async fn send(&self, blob: &Blob) -> Result<(), RegistryError> {
        let mut upload = Upload::new(blob, self.left);
        let (mut tries, mut furthest) = (Tries::new(), 0);
        loop {
            let access = self.access().await;
            let stepped = upload.step(&access).await;
            self.tell(&mut upload, &mut furthest, &mut tries);
            match stepped {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(refused) => {
                    upload.broke_off();
                    self.go_on(&access, refused, &mut tries).await?;
                }
            }
        }
    }

    /// Whether the registry has a blob.
    pub async fn has(&self, digest: &Digest, bytes: u64) -> Result<bool, RegistryError> {
        let mut tries = Tries::new();
        loop {
            let access = self.access().await;
            match step::has(&access, digest, bytes).await {
                Ok(has) => return Ok(has),
                Err(refused) => self.go_on(&access, refused, &mut tries).await?,
            }
        }
    }

    /// Puts a manifest under a tag. What the registry says to have has to be it.
    pub async fn put_manifest(
        &self,
        tag: &str,
        manifest: Vec<u8>,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&manifest);
        let mut tries = Tries::new();
        loop {
            let access = self.access().await;
            match self.try_put(&access, tag, &manifest, &digest).await {
                Ok(()) => return Ok(digest),
                Err(refused) => self.go_on(&access, refused, &mut tries).await?,
            }
        }
    }

    async fn try_put(
        &self,
        access: &Access,
        tag: &str,
        manifest: &[u8],
        digest: &Digest,
    ) -> Result<(), Refused> {
        let put = access
            .step(Method::PUT, access.url(&format!("manifests/{tag}"))?)
            .header(header::CONTENT_TYPE, MediaType::ImageManifest.to_string())
            // Registries look for all blobs first.
            .timeout(step::CHUNK_TIMEOUT)
            .body(manifest.to_vec());
        let answer = access.take(put).await?;
        if !answer.status().is_success() {
            return Err(access.refuses(answer).await);
        }
        let same = step::says(&answer, digest);
        finish(answer).await;
        Ok(same?)
    }

    /// So many layers will be sent, or are there.
    pub fn layers(&self, total: usize) {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        self.report
            .send_modify(|report| report.layers_total = total);
    }

    /// The registry has another layer.
    pub fn layer_done(&self) {
        self.report.send_modify(|report| report.layers_done += 1);
    }

    async fn access(&self) -> Arc<Access> {
        self.access.lock().await.clone()
    }

    /// What has been sent counts, also if the registry wants some of it once more.
    fn tell(&self, upload: &mut Upload<'_>, furthest: &mut u64, tries: &mut Tries) {
        if let Some(total) = upload.begins() {
            self.report.send_modify(|report| report.total += total);
        }
        let now = upload.sent();
        if now > *furthest {
            self.report
                .send_modify(|report| report.done += now - *furthest);
            *furthest = now;
            *tries = Tries::new();
        }
    }

    /// Waits before the next try, or logs in again for it; fails if there is to be none.
    async fn go_on(
        &self,
        access: &Arc<Access>,
        Refused { error, retry_after }: Refused,
        tries: &mut Tries,
    ) -> Result<(), RegistryError> {
        match error {
            RegistryError::Unreachable(_) => tries.failed(error, retry_after).await,
            RegistryError::LoginFailed | RegistryError::Denied(_) if !tries.logged_in => {
                let mut current = self.access.lock().await;
                // Another upload may have done it meanwhile.
                if Arc::ptr_eq(&current, access) {
                    match log_in(&self.client, self.name).await {
                        Ok(fresh) => *current = Arc::new(fresh),
                        Err(error @ RegistryError::Unreachable(_)) => {
                            drop(current);
                            return tries.failed(error, None).await;
                        }
                        Err(error) => return Err(error),
                    }
                }
                tries.logged_in = true;
                Ok(())
            }
            other => Err(other),
        }
    }
}

async fn log_in(client: &RegistryClient, name: &str) -> Result<Access, RegistryError> {
    client
        .log_in(name, "pull,push")
        .await
        .map(|(access, _)| access)
}

#[cfg(test)]
mod tests;
