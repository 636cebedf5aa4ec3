use std::path::{Path, PathBuf};

use hearth_runtime::blocking;

use super::{
    build_folder::build_folder,
    context::{Checkout, Context},
};
use crate::{
    clone_files::NewFolder,
    devcontainer::DevcontainerConfig,
    external::{devcontainer::BuildRequest, process::OnLine},
};

/// What an image was built from, for a build in the background; or why there is no copy of it.
pub type Sources = Result<PathBuf, String>;

/// The build cache of a build that makes nothing else.
#[derive(Clone, Copy)]
pub enum BuildCache<'a> {
    /// It is read, as `--cache-from` takes it.
    From(&'a str),
    /// It is written, as `--cache-to` takes it.
    To(&'a str),
}

/// Copies the clone for [`rebuild`]. By then hooks have changed the clone; a new checkout would not have what
/// `initializeCommand` made, submodules, or `.git`.
pub async fn keep_sources(cx: &Context<'_>, clone: &Checkout) -> Option<Sources> {
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

/// Builds an image once more from a copy of its sources, for the sake of the build cache alone. An attempt does so once.
pub async fn rebuild(
    cx: &Context<'_>,
    sources: &Sources,
    config: &DevcontainerConfig,
    image: &str,
    cache: BuildCache<'_>,
    on_line: OnLine<'_>,
) -> Result<(), String> {
    let sources = sources.as_ref().map_err(Clone::clone)?;
    let files = cx.scratch.files().open(sources);
    let files = files.map_err(|error| error.to_string())?;
    let below = cx.scratch.path().join("second-build");
    let folder = build_folder(below, &files, sources, config).await?;
    let (cache_from, cache_to) = match cache {
        BuildCache::From(cache) => (Some(cache), None),
        BuildCache::To(cache) => (None, Some(cache)),
    };
    let request = BuildRequest {
        workspace: cx.cli_workspace(&folder.folder, &folder.config),
        image_name: image,
        cache_from,
        cache_to,
        output: Some("type=cacheonly"),
        cache_mounts: &cx.job.cache_mounts,
        sources,
    };
    let built = cx.externals.devcontainer.build(&request, on_line).await;
    built.map_err(|child| child.message)
}
