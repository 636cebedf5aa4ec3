use hearth_domain::{CacheRepository, Digest};
use hearth_layers::{BySource, Near, TransferError, Way};

use super::context::Context;
use crate::{credentials::with_login, external::engine::OnTransfer};

/// An image of the cache, by its digest: the only ones that nodes share.
pub type OfCache<'a> = (&'a CacheRepository, &'a Digest);

/// Compressed bytes of the layers that were fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// All of them.
    pub bytes: u64,
    /// Those that hearth fetched itself, by where they came from.
    pub from: BySource,
}

/// Fetches an image, unless the engine has it. The sizes of its layers come from the registry, since the engine reports no
/// progress of a layer that arrives quickly.
pub async fn pull(
    cx: &Context<'_>,
    image: &str,
    of_cache: Option<OfCache<'_>>,
    progress: OnTransfer<'_>,
) -> Result<Fetched, TransferError> {
    // An image that is just being removed cannot be used.
    cx.node.images.until_removed(image).await;
    if matches!(cx.externals.engine.image(image).await, Ok(Some(_))) {
        return Ok(Fetched::default());
    }
    let engine = &cx.externals.engine;
    let pull = with_login(cx.logins, image, |login| async move {
        let near = async {
            match (of_cache, &cx.node.neighbourhood) {
                (Some((repository, digest)), Some(neighbourhood)) => {
                    let attempt = &cx.job.attempt;
                    neighbourhood.near(attempt, repository, digest).await
                }
                _ => Near::default(),
            }
        };
        let near = Box::pin(near);
        engine.pull(image, login.as_ref(), near, progress).await
    });
    let inspect = async {
        let login = cx.logins.for_image(image).await;
        cx.externals.registry.inspect(image, login.as_ref()).await
    };
    let (pulled, info) = tokio::join!(pull, inspect);
    let pulled = pulled?;
    if let Way::Fallback(why) = &pulled.way {
        cx.recorder.warn(format!(
            "the engine pulled {image}, which takes longer, since the agent could not fetch it: {why}"
        ));
    }
    let bytes = info.map_or(pulled.transfer.done, |info| {
        info.bytes_without(&pulled.present)
    });
    Ok(Fetched {
        bytes,
        from: pulled.from,
    })
}
