use super::plan::Upload;
use crate::{
    external::devcontainer::{BuildRequest, CliWorkspace},
    pipeline::{build_folder::build_folder, context::Context, job::CacheUse},
};

/// Exports BuildKit's cache of all stages by a second build, whose steps are all in the engine's cache. It builds from a
/// new checkout, since the workspace's files belong to its user by now.
pub(super) async fn export_build_cache(cx: &Context<'_>, upload: &Upload, cache: &CacheUse) {
    let reference = cache.reference.build_cache(&cx.node.platform);
    let work = async {
        let checkout = cx
            .scratch
            .path()
            .join("export")
            .join(cx.job.spec.repository.name());
        let commit = upload.commit.as_ref().ok_or("the clone has no commit")?;
        cx.externals
            .git
            .export(&upload.clone, commit, &checkout, cx.scratch.path())
            .await
            .map_err(|child| child.message)?;
        let folder = build_folder(
            cx.scratch.path().join("export-build"),
            &checkout,
            &upload.config,
        )
        .await?;
        let request = BuildRequest {
            workspace: CliWorkspace {
                folder: &folder.folder,
                config: &folder.config,
                scratch: cx.scratch.path(),
                workspace_id: &cx.job.attempt.workspace,
            },
            image_name: &upload.image,
            cache_from: None,
            cache_to: Some(&format!(
                "type=registry,ref={reference},mode=max,compression=zstd,oci-mediatypes=true,image-manifest=true"
            )),
            output: Some("type=cacheonly"),
        };
        cx.externals
            .devcontainer
            .build(&request, &mut |_| {})
            .await
            .map_err(|child| child.message)
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
