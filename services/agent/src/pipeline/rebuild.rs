use std::path::{Path, PathBuf};

use hearth_runtime::blocking;
use tokio::sync::OnceCell;

use super::{
    build_folder::build_folder,
    builder::image_output,
    context::{Checkout, Context},
    subject::Subject,
};
use crate::{
    clone_files::NewFolder,
    devcontainer::DevcontainerConfig,
    external::{devcontainer::BuildRequest, process::OnLine},
};

/// What an image was built from, for a build in the background; or why there is no copy of it.
pub type Sources = Result<PathBuf, String>;

/// What is built once more, and with which build cache.
#[derive(Clone, Copy)]
pub enum Again<'a> {
    /// The image, from this build cache, as `--cache-from` takes it.
    Image(&'a str),
    /// This build cache and nothing else, as `--cache-to` takes it.
    BuildCache(&'a str),
}

/// The one copy of the clone for all images of an attempt. By the time that it is used hooks have changed the clone; a new checkout
/// would not have what `initializeCommand` made, submodules, or `.git`.
#[derive(Default)]
pub struct KeptSources(OnceCell<Option<Sources>>);

impl KeptSources {
    /// The copy, which is made when it is first asked for.
    pub async fn get(&self, cx: &Context<'_>, clone: &Checkout) -> Option<Sources> {
        self.0.get_or_init(|| keep_sources(cx, clone)).await.clone()
    }
}

async fn keep_sources(cx: &Context<'_>, clone: &Checkout) -> Option<Sources> {
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

/// Builds an image once more from a copy of its sources. An attempt does so once for each image.
pub async fn rebuild(
    cx: &Context<'_>,
    sources: &Sources,
    config: &DevcontainerConfig,
    image: &str,
    again: Again<'_>,
    subject: &Subject,
    on_line: OnLine<'_>,
) -> Result<(), String> {
    let sources = sources.as_ref().map_err(Clone::clone)?;
    let files = cx.scratch.files().open(sources);
    let files = files.map_err(|error| error.to_string())?;
    let below = cx.scratch.path().join(subject.file("second-build"));
    let folder = build_folder(below, &files, sources, config).await?;
    let (cache_from, cache_to, output) = match again {
        Again::Image(cache) => (Some(cache), None, image_output(cx.node.store, image, &[])),
        Again::BuildCache(cache) => (None, Some(cache), Some("type=cacheonly".to_owned())),
    };
    let request = BuildRequest {
        workspace: cx.cli_workspace(&folder.folder, &folder.config),
        image_name: image,
        plain: folder.plain.as_ref(),
        cache_from,
        cache_to,
        output: output.as_deref(),
        cache_mounts: &cx.job.cache_mounts,
        sources,
        no_cache: false,
    };
    let built = cx.externals.devcontainer.build(&request, on_line).await;
    built.map_err(|child| child.message)
}
