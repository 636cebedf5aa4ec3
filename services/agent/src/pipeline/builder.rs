use hearth_api::v1::ImageStore;

use super::context::Context;

/// What builds images on this node, by the versions that shape what BuildKit computes of a step: the engine's, which has
/// BuildKit and its frontend in it, and the devcontainer CLI's. `None` while the engine does not answer.
pub async fn builder(cx: &Context<'_>) -> Option<String> {
    let engine = cx.externals.engine.describe().await.ok()?;
    Some(format!(
        "{} devcontainer {}",
        engine.version, cx.node.cli_version
    ))
}

/// The value of `--output`. The containerd store compresses layers while it builds: zstd takes a fifth of gzip's time and
/// unpacks faster on the next node; it needs OCI media types. The classic store compresses when it pushes.
pub fn image_output(
    store: ImageStore,
    name: &str,
    annotations: &[(&'static str, String)],
) -> Option<String> {
    if store != ImageStore::Containerd {
        return None;
    }
    let mut output = format!("type=image,name={name},compression=zstd,oci-mediatypes=true");
    for (key, value) in annotations {
        // The option is a list in CSV: none of these values needs quoting, and one that did would be left out.
        if !value.contains([',', '"', '\n', '\r']) {
            output.push_str(&format!(",annotation-manifest.{key}={value}"));
        }
    }
    Some(output)
}
