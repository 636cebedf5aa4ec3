use hearth_layers::TransferError;

use super::context::Context;
use crate::{credentials::with_login, external::engine::OnTransfer};

/// Fetches an image, unless the engine has it, and returns the compressed bytes of the layers that were not there. The
/// registry is asked for their sizes meanwhile: the engine does not tell of a layer that arrives quickly.
pub async fn pull(
    cx: &Context<'_>,
    image: &str,
    progress: OnTransfer<'_>,
) -> Result<u64, TransferError> {
    // One that just goes to make room is not there.
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
    Ok(info.map_or(pulled.transfer.done, |info| {
        info.bytes_without(&pulled.present)
    }))
}
