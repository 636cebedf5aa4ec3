//! Deleting images, and trying what a login may do.

use oci_spec::distribution::Reference;
use reqwest::{Method, header};

use crate::{
    RegistryClient, RegistryError,
    access::{Access, finish},
};

impl RegistryClient {
    /// Whether `repository` (`registry/path`) can be read. One that does not exist yet can.
    pub async fn try_pull(&self, repository: &str) -> Result<(), RegistryError> {
        let access = self.access(repository, "pull").await?;
        match access.send(Method::GET, "tags/list?n=1").await {
            Ok(tags) => finish(tags).await,
            Err(RegistryError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether `repository` can be written: begins an upload and cancels it (OCI distribution spec, "Pushing blobs").
    pub async fn try_push(&self, repository: &str) -> Result<(), RegistryError> {
        let access = self.access(repository, "pull,push").await?;
        let begun = access.send(Method::POST, "blobs/uploads/").await?;
        let upload = begun.headers().get(header::LOCATION);
        let upload = upload.and_then(|url| access.own_url(url.to_str().ok()?));
        finish(begun).await;
        // A registry drops uploads that do not go on: one that cannot be cancelled is no failure.
        if let Some(upload) = upload
            && let Ok(cancelled) = access.send_to(Method::DELETE, upload).await
        {
            finish(cancelled).await;
        }
        Ok(())
    }

    /// Whether images of `repository` can be deleted: tries it with a digest that no image has. `Unsupported` where the
    /// registry has that switched off.
    pub async fn try_delete(&self, repository: &str) -> Result<(), RegistryError> {
        let nothing = format!("sha256:{}", "0".repeat(64));
        match self.delete(&format!("{repository}@{nothing}")).await {
            Ok(()) | Err(RegistryError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the manifest that `image` (`repository@digest`) names, and with it every tag of it (OCI distribution
    /// spec, "Deleting Manifests"). `Unsupported` where the registry has that switched off.
    pub async fn delete(&self, image: &str) -> Result<(), RegistryError> {
        let reference = image.parse::<Reference>().ok();
        let Some(digest) = reference.as_ref().and_then(Reference::digest) else {
            return Err(RegistryError::BadReference(image.to_owned()));
        };
        let access = self.access(image, "pull,push,delete").await?;
        let path = format!("manifests/{digest}");
        finish(access.send(Method::DELETE, &path).await?).await;
        Ok(())
    }

    async fn access(&self, image: &str, actions: &str) -> Result<Access, RegistryError> {
        self.log_in(image, actions).await.map(|(access, _)| access)
    }
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
