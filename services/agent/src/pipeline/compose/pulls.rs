//! Images that a project only names.

use hearth_domain::repository_and_tag;

use crate::{
    disk::ImageUse,
    external::engine::OnTransfer,
    pipeline::{context::Context, pull::pull},
};

/// An image that the engine has.
pub struct Pulled {
    /// Its name in the engine.
    pub name: String,
    /// Compressed bytes that were fetched.
    pub bytes: u64,
    /// Keeps it until the containers are there.
    pub in_use: ImageUse,
}

/// Fetches an image by the digest that the registry names now, so that what runs is not what a node happens to have under this
/// name. Not fatal: what cannot be fetched is left to Compose, which says why it cannot be.
pub async fn fetch(cx: &Context<'_>, image: &str, progress: OnTransfer<'_>) -> Option<Pulled> {
    let name = pinned(cx, image).await?;
    let in_use = cx.node.images.enter(&name);
    match pull(cx, &name, None, progress).await {
        Ok(fetched) => Some(Pulled {
            name,
            bytes: fetched.bytes,
            in_use,
        }),
        Err(error) => {
            tracing::info!(image, %error, "an image of a Compose project is left to Compose");
            None
        }
    }
}

/// The image by its digest. `None`: its registry does not tell.
async fn pinned(cx: &Context<'_>, image: &str) -> Option<String> {
    if image.contains('@') {
        return Some(image.to_owned());
    }
    let login = cx.logins.for_image(image).await;
    let registry = &cx.externals.registry;
    let digest = registry.digest(image, login.as_ref()).await.ok()?;
    let (repository, _) = repository_and_tag(image);
    Some(format!("{repository}@{digest}"))
}
