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

/// How layers are compressed in what a build writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// As the registry gets them: zstd takes a fifth of gzip's time and unpacks faster on the next node. It needs OCI media
    /// types.
    Zstd,
    /// Not at all: the agent compresses them as it pushes. All builds of a node do so or none, whatever becomes of their
    /// images: BuildKit exports a layer that it has in one form in that form.
    Plain,
}

impl Layers {
    /// Those of a node's builds.
    pub fn of(cx: &Context<'_>) -> Self {
        match cx.externals.engine.pushes_compress() {
            true => Self::Plain,
            false => Self::Zstd,
        }
    }

    /// Options of an export to a registry, whatever the layers are like in the engine.
    pub fn to_registry(self) -> &'static str {
        match self {
            Self::Zstd => "compression=zstd,oci-mediatypes=true",
            Self::Plain => "compression=zstd,force-compression=true,oci-mediatypes=true",
        }
    }

    fn to_engine(self) -> &'static str {
        match self {
            Self::Zstd => "compression=zstd,oci-mediatypes=true",
            Self::Plain => "compression=uncompressed,oci-mediatypes=true",
        }
    }
}

/// The value of `--output`. The classic store has layers of its own kind, and compresses when it pushes.
pub fn image_output(
    store: ImageStore,
    layers: Layers,
    name: &str,
    annotations: &[(&'static str, String)],
) -> Option<String> {
    if store != ImageStore::Containerd {
        return None;
    }
    let mut output = format!("type=image,name={name},{}", layers.to_engine());
    for (key, value) in annotations {
        // The option is a list in CSV: none of these values needs quoting, and one that did would be left out.
        if !value.contains([',', '"', '\n', '\r']) {
            output.push_str(&format!(",annotation-manifest.{key}={value}"));
        }
    }
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_compressed_where_the_engine_pushes_them_and_always_for_a_registry() {
        let image = |layers| image_output(ImageStore::Containerd, layers, "i", &[]).unwrap();
        assert_eq!(
            image(Layers::Zstd),
            "type=image,name=i,compression=zstd,oci-mediatypes=true"
        );
        assert_eq!(
            image(Layers::Plain),
            "type=image,name=i,compression=uncompressed,oci-mediatypes=true"
        );
        assert_eq!(
            image_output(ImageStore::Classic, Layers::Plain, "i", &[]),
            None
        );
        // Without force BuildKit would export what a build before has left: plain layers.
        assert!(
            Layers::Plain
                .to_registry()
                .contains("=zstd,force-compression=true")
        );
        assert!(!Layers::Zstd.to_registry().contains("force"));
    }
}
