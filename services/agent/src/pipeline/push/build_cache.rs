use hearth_api::v1::ImageStore;

use super::plan::Upload;
use crate::{
    buildkit::Progress,
    external::process::Line,
    pipeline::{
        context::{Checkout, Context},
        job::CacheUse,
        rebuild::{Again, KeptSources, Sources, rebuild},
    },
};

/// Copies the clone for [`export_build_cache`], if the image `will_be_pushed` with a build cache.
pub async fn sources_to_export(
    cx: &Context<'_>,
    clone: &Checkout,
    will_be_pushed: bool,
    kept: &KeptSources,
) -> Option<Sources> {
    if !will_be_pushed || cx.node.store != ImageStore::Containerd {
        return None;
    }
    kept.get(cx, clone).await
}

/// Exports BuildKit's cache of all stages by a second build from the same files, whose steps are all in the engine's
/// cache, and tells the index its digest: whoever may push can move a tag. Of an image without a step there is nothing to
/// export.
pub(super) async fn export_build_cache(cx: &Context<'_>, upload: &Upload, cache: &CacheUse) {
    let Some(sources) = &upload.sources else {
        return;
    };
    let reference = cache.reference.build_cache(&cx.node.platform);
    let work = async {
        let generation = upload.cache_generation;
        let generation = generation.ok_or("the index did not answer when the build began")?;
        let to = format!(
            "type=registry,ref={reference},mode=max,compression=zstd,oci-mediatypes=true,image-manifest=true"
        );
        let mut progress = Progress::default();
        let mut on_line = |line: Line<'_>| {
            if let Line::Text(line) = line {
                progress.line(line);
            }
        };
        let (config, to) = (&upload.config, Again::BuildCache(&to));
        let subject = &upload.subject;
        rebuild(
            cx,
            sources,
            config,
            &upload.image,
            to,
            subject,
            &mut on_line,
        )
        .await?;
        let digest = match progress.exported_cache() {
            Some(digest) => digest,
            // A Dockerfile that sets variables and a user, for example.
            None if progress.counts().total == 0 => return Ok(()),
            None => return Err("BuildKit named no digest".to_owned()),
        };
        let (attempt, key) = (&cx.job.attempt, upload.manifest.key());
        cx.externals
            .index
            .commit_build_cache(
                attempt,
                cache.reference.repository(),
                subject.service(),
                key,
                digest,
                generation,
            )
            .await
            .map_err(|error| error.to_string())
    };
    let exported = tokio::time::timeout(cx.node.push_timeout, work)
        .await
        .unwrap_or_else(|_| Err("it did not end in time".to_owned()));
    if let Err(why) = exported {
        cx.recorder.warn(format!(
            "the build cache was not exported to {reference}: {why}"
        ));
    }
}
