use std::path::{Path, PathBuf};

use hearth_api::v1::ImageStore;
use hearth_runtime::blocking;

use super::plan::Upload;
use crate::{
    buildkit::Progress,
    clone_files::NewFolder,
    external::{devcontainer::BuildRequest, process::Line},
    pipeline::{
        build_folder::build_folder,
        context::{Checkout, Context},
        job::CacheUse,
    },
};

/// Copies the clone for [`export_build_cache`], if the image `will_be_pushed` with a build cache.
pub async fn sources_to_export(
    cx: &Context<'_>,
    clone: &Checkout,
    will_be_pushed: bool,
) -> Option<Result<PathBuf, String>> {
    if !will_be_pushed || cx.node.store != ImageStore::Containerd {
        return None;
    }
    keep_sources(cx, clone).await
}

/// Copies the clone for a build in the background. By then hooks have changed the clone; a new checkout would not have
/// what `initializeCommand` made, submodules, or `.git`.
pub async fn keep_sources(cx: &Context<'_>, clone: &Checkout) -> Option<Result<PathBuf, String>> {
    let files = clone.files.clone();
    // The folder's name is an input of builds.
    let name = clone.folder.file_name()?;
    let copy = cx.scratch.path().join("sources").join(name);
    Some(
        blocking(move || {
            let everything = Path::new("");
            NewFolder::create(&copy)?.copy(&files, everything, everything)?;
            Ok(copy)
        })
        .await,
    )
}

/// Exports BuildKit's cache of all stages by a second build from the same files, whose steps are all in the engine's
/// cache, and tells the index its digest: whoever may push can move a tag.
pub(super) async fn export_build_cache(cx: &Context<'_>, upload: &Upload, cache: &CacheUse) {
    let Some(sources) = &upload.sources else {
        return;
    };
    let reference = cache.reference.build_cache(&cx.node.platform);
    let work = async {
        let generation = upload.cache_generation;
        let generation = generation.ok_or("the index did not answer when the build began")?;
        let sources = sources.as_ref().map_err(Clone::clone)?;
        let below = cx.scratch.path().join("export-build");
        let files = cx.scratch.files().open(sources);
        let files = files.map_err(|error| error.to_string())?;
        let folder = build_folder(below, &files, sources, &upload.config).await?;
        let request = BuildRequest {
            workspace: cx.cli_workspace(&folder.folder, &folder.config),
            image_name: &upload.image,
            cache_from: None,
            cache_to: Some(&format!(
                "type=registry,ref={reference},mode=max,compression=zstd,oci-mediatypes=true,image-manifest=true"
            )),
            output: Some("type=cacheonly"),
            cache_mounts: &cx.job.cache_mounts,
            sources,
        };
        let mut progress = Progress::default();
        cx.externals
            .devcontainer
            .build(&request, &mut |line| {
                if let Line::Text(line) = line {
                    progress.line(line);
                }
            })
            .await
            .map_err(|child| child.message)?;
        let digest = progress
            .exported_cache()
            .ok_or("BuildKit named no digest")?;
        let (attempt, key) = (&cx.job.attempt, upload.manifest.key());
        cx.externals
            .index
            .commit_build_cache(
                attempt,
                cache.reference.repository(),
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
