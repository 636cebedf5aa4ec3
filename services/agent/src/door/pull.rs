//! Images that an attempt looks at or fetches.

use http::HeaderMap;
use hyper::Response;

use super::{answer::No, endpoint::Call, gate::Gate, upstream::Body};

impl Gate {
    /// Shows an image: a base image of the build by the digest in its cache key.
    pub async fn show_image(
        &self,
        call: &mut Call,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, No> {
        let pinned = self.objects.images.pins().of(&call.name());
        if let Some(pinned) = pinned.map(str::to_owned) {
            call.rename(&pinned);
        }
        self.visible_image(&call.name()).await?;
        self.forward(call, headers).await
    }

    /// Fetches an image, in the same way.
    pub async fn pull(&self, call: &mut Call, headers: &HeaderMap) -> Result<Response<Body>, No> {
        let image = call.parameter("fromImage").unwrap_or_default();
        let tag = call.parameter("tag").filter(|tag| !tag.is_empty());
        let mut name = match tag {
            Some(digest) if digest.contains(':') => format!("{image}@{digest}"),
            Some(tag) => format!("{image}:{tag}"),
            None => image.to_owned(),
        };
        if let Some(pinned) = self.objects.images.pins().of(&name) {
            name = pinned.to_owned();
        }
        // An engine that has an image does not ask the registry for it.
        let is_foreign = self.objects.images.is_foreign_name(&name)
            || self.objects.is_foreign_image(&name).await?;
        if name.is_empty() || is_foreign {
            return Err(No::Forbidden(format!(
                "the image {name} cannot be fetched: it is in the cache of another repository"
            )));
        }
        if let Some((image, digest)) = name.split_once('@') {
            call.set("fromImage", image.to_owned());
            call.set("tag", digest.to_owned());
        }
        self.forward(call, headers).await
    }
}
