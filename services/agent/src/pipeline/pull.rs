use hearth_layers::{TransferError, Way};

use super::context::Context;
use crate::{credentials::with_login, external::engine::OnTransfer};

/// Fetches an image, unless the engine has it, and returns the compressed bytes of the layers that were fetched. Their
/// sizes come from the registry, since the engine reports no progress of a layer that arrives quickly.
pub async fn pull(
    cx: &Context<'_>,
    image: &str,
    progress: OnTransfer<'_>,
) -> Result<u64, TransferError> {
    // An image that is just being removed cannot be used.
    cx.node.images.until_removed(image).await;
    if matches!(cx.externals.engine.image(image).await, Ok(Some(_))) {
        return Ok(0);
    }
    let engine = &cx.externals.engine;
    let pull = with_login(cx.logins, image, |login| async move {
        engine.pull(image, login.as_ref(), progress).await
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
    Ok(info.map_or(pulled.transfer.done, |info| {
        info.bytes_without(&pulled.present)
    }))
}
