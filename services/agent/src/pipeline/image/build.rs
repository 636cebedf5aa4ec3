use std::{sync::Arc, time::Instant};

use hearth_api::v1::{Failure, FailureReason};
use hearth_domain::{CacheKey, KeyedManifest, Repository, annotation, text::shortened};
use hearth_layers::RegistryError;

use super::{
    outcome::STEP,
    progress::BuildProgress,
    used::{Used, is_same},
};
use crate::{
    build_log::BuildLog,
    buildkit::{Counts, Progress},
    devcontainer::{Base, BuildOption, DevcontainerConfig, Source},
    door::denied_source,
    external::{
        Externals, control_plane::ReadableCache, devcontainer::BuildRequest,
        process::ProcessFailure,
    },
    pipeline::{
        build_folder::{BuildFolder, build_folder},
        builder::{builder, image_output},
        context::{Checkout, Context},
        failure::{failure, process_failure, with_cause},
        subject::Subject,
    },
};

/// Longest message of a failure: that of a failed step contains its whole script.
const MAX_MESSAGE_CHARS: usize = 300;

/// An image that was built.
pub(super) struct Built {
    pub counts: Counts,
    pub seconds: f64,
    pub image_id: String,
    /// Of the repository's build caches; `None` where the index did not tell.
    pub cache_generation: Option<u64>,
    /// What it was built from and its key does not say.
    pub beside_the_key: Option<String>,
}

/// Builds the image, with BuildKit's cache from the registry if there is one.
pub(super) async fn build(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    subject: &Subject,
    manifest: Option<&KeyedManifest>,
    reasons: &mut Vec<String>,
) -> Result<Built, Failure> {
    let began = Instant::now();
    let name = &subject.image_name(cx);
    let folder = build_folder(
        cx.scratch.path().join(subject.file("build")),
        &clone.files,
        &clone.folder,
        config,
    )
    .await
    .map_err(|why| failure(FailureReason::ConfigInvalid, STEP, subject.about(why)))?;
    for left_out in &folder.left_out {
        cx.recorder.warn(subject.about(left_out.to_string()));
    }
    let log = Arc::new(cx.node.build_logs.begin(&cx.job.attempt));
    let (cache_from, cache_generation) = build_cache(cx, subject, reasons).await;
    let annotations = match manifest {
        Some(manifest) => annotations(&cx.job.spec.repository, manifest.key(), builder(cx).await),
        None => Vec::new(),
    };
    let output = image_output(cx.node.store, name, &annotations);
    let request = BuildRequest {
        workspace: cx.cli_workspace(&folder.folder, &folder.config),
        image_name: name,
        plain: folder.plain.as_ref(),
        cache_from: cache_from.as_deref(),
        cache_to: None,
        output: output.as_deref(),
        cache_mounts: &cx.job.cache_mounts,
        sources: &clone.folder,
        no_cache: cx.job.no_cache,
    };
    let mut result = run_build(cx, subject, &request, &log).await;
    if let (Err(child), true) = (&result, cache_from.is_some()) {
        // A cache with a missing blob fails every build that reads it. The engine's own cache has the steps built so far.
        reasons.insert(
            0,
            format!(
                "the build failed and was repeated without the registry's cache: {}",
                child.message
            ),
        );
        let request = BuildRequest {
            cache_from: None,
            ..request
        };
        log.line("The build failed, and is repeated without the registry's cache.");
        result = run_build(cx, subject, &request, &log).await;
    }
    let fault = fault_of_base(cx, config).await;
    if let Some(fault) = &fault {
        cx.recorder.warn(fault);
    }
    let progress = result.map_err(|child| {
        let child = child.without_folders(&[&clone.folder, &folder.folder, cx.scratch.path()]);
        let message = subject.about(format!("the image cannot be built: {}", child.message));
        let failed = process_failure(FailureReason::BuildFailed, STEP, message, &child);
        with_cause(failed, fault.as_deref())
    })?;
    let beside_the_key = match manifest {
        Some(manifest) => beside_the_key(cx, &progress, &folder, config, manifest).await,
        None => None,
    };
    let image = cx
        .externals
        .engine
        .image(name)
        .await
        .map_err(|error| failure(FailureReason::EngineFailed, STEP, error))?
        .ok_or_else(|| {
            failure(
                FailureReason::EngineFailed,
                STEP,
                "the engine does not have the image that was built",
            )
        })?;
    Ok(Built {
        counts: progress.counts(),
        seconds: began.elapsed().as_secs_f64(),
        image_id: image.id,
        cache_generation,
        beside_the_key,
    })
}

/// What the image was built from and its key does not say, or why that cannot be told.
async fn beside_the_key(
    cx: &Context<'_>,
    progress: &Progress,
    folder: &BuildFolder,
    config: &DevcontainerConfig,
    manifest: &KeyedManifest,
) -> Option<String> {
    let files = cx.scratch.files().open(&folder.folder);
    let files = files.map_err(|error| error.to_string());
    let used = match files {
        Ok(files) => {
            let mut images = progress.images().clone();
            // Those of other services are in the key by theirs.
            let services: Vec<&str> = images_of_services(config).collect();
            images.retain(|image| !services.iter().any(|service| is_same(image, service)));
            Used::read(images, files, &config.path).await
        }
        Err(error) => Err(error),
    };
    used.map_or_else(
        |error| Some(format!("what was built from cannot be read: {error}")),
        |used| used.beside_the_key(manifest.inputs()),
    )
}

/// The images of other services that a build takes.
fn images_of_services(config: &DevcontainerConfig) -> impl Iterator<Item = &str> {
    let base = config.recipe().map(|recipe| &recipe.base);
    let options = match base {
        Some(Base::Dockerfile(build)) => &build.options[..],
        _ => &[],
    };
    options.iter().filter_map(|option| match option {
        BuildOption::Service { image, .. } => image.as_deref(),
        _ => None,
    })
}

/// What is wrong with the metadata of the image that features are installed on. The engine has it when the CLI has read it.
async fn fault_of_base(cx: &Context<'_>, config: &DevcontainerConfig) -> Option<String> {
    let Source::Recipe(recipe) = &config.source else {
        return None;
    };
    let (Base::Image(image) | Base::Default(image)) = &recipe.base else {
        return None;
    };
    let found = cx.externals.engine.image(image).await.ok()??;
    found.metadata().fault(image)
}

async fn run_build(
    cx: &Context<'_>,
    subject: &Subject,
    request: &BuildRequest<'_>,
    log: &Arc<BuildLog>,
) -> Result<Progress, ProcessFailure> {
    let mut progress = BuildProgress::new(cx.recorder, subject.clone(), log.clone());
    let result = cx
        .externals
        .devcontainer
        .build(request, &mut |line| progress.take(line))
        .await;
    let (progress, failed, tail) = progress.finish();
    // A step that failed says more than the CLI, whose output is BuildKit's JSON.
    result.map(|()| progress).map_err(|child| {
        let message = failed.as_deref().unwrap_or(&child.message);
        let message = denied_source(message).unwrap_or_else(|| message.to_owned());
        ProcessFailure {
            message: shortened(&message, MAX_MESSAGE_CHARS),
            tail,
        }
    })
}

/// Annotations of the image's manifest, by which the control plane recognises an image that only the registry has. They
/// follow from the key. The commit (`org.opencontainers.image.revision`) is left out: it would change the digest of the
/// same image with every commit.
fn annotations(
    repository: &Repository,
    key: &CacheKey,
    builder: Option<String>,
) -> Vec<(&'static str, String)> {
    let mut annotations = vec![
        (annotation::KEY, key.to_string()),
        (
            annotation::MANIFEST_DIGEST,
            key.manifest_digest().to_string(),
        ),
    ];
    annotations.extend(builder.map(|builder| (annotation::BUILDER, builder)));
    if repository.is_github() {
        // GHCR connects the package to this repository.
        annotations.push((
            annotation::SOURCE,
            format!("https://github.com/{}", repository.path()),
        ));
    }
    annotations
}

/// The value of `--cache-from`, if the index knows a build cache that the registry has, and the generation of the
/// repository's build caches. By its digest: whoever may push can move a tag. The check comes before the build, which a
/// registry that does not answer would hold up.
async fn build_cache(
    cx: &Context<'_>,
    subject: &Subject,
    reasons: &mut Vec<String>,
) -> (Option<String>, Option<u64>) {
    let Ok(cache) = &cx.job.cache else {
        return (None, None);
    };
    let repository = cache.reference.repository();
    let Externals {
        index, registry, ..
    } = cx.externals;
    let ReadableCache { digest, generation } = match index
        .build_cache(&cx.job.attempt, repository, subject.service())
        .await
    {
        Ok(readable) => readable,
        Err(error) => {
            reasons.push(format!("the build cache could not be asked for: {error}"));
            return (None, None);
        }
    };
    let Some(digest) = digest else {
        let of = match subject.service() {
            Some(_) => "service",
            None => "repository",
        };
        reasons.push(format!("there is no build cache for this {of} yet"));
        return (None, Some(generation));
    };
    let reference = repository.image(&digest);
    let login = cx.logins.for_image(&reference).await;
    let why = match registry.digest(&reference, login.as_ref()).await {
        Ok(_) => {
            return (
                Some(format!("type=registry,ref={reference}")),
                Some(generation),
            );
        }
        Err(RegistryError::NotFound(_)) => {
            "the registry does not have the build cache any more".to_owned()
        }
        Err(error) => format!("the build cache could not be read: {error}"),
    };
    reasons.push(why);
    (None, Some(generation))
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::ImageStore;

    use super::*;

    #[test]
    fn an_image_names_its_key_and_its_repository_on_github_in_annotations() {
        let key: CacheKey = format!("k1:{}", "a".repeat(64)).parse().unwrap();
        let by = || Some("Docker 1 devcontainer 2".to_owned());
        let on = |url: &str| annotations(&url.parse().unwrap(), &key, by());
        let github = on("https://github.com/owner/repo");
        let output = image_output(ImageStore::Containerd, "r/i:t", &github).unwrap();
        let expected = format!(
            "type=image,name=r/i:t,compression=zstd,oci-mediatypes=true\
             ,annotation-manifest.dev.hearth.key={key}\
             ,annotation-manifest.dev.hearth.manifest-digest=sha256:{}\
             ,annotation-manifest.dev.hearth.builder=Docker 1 devcontainer 2\
             ,annotation-manifest.org.opencontainers.image.source=https://github.com/owner/repo",
            "a".repeat(64)
        );
        assert_eq!(output, expected);
        assert_eq!(on("https://git.example/owner/repo").len(), 3);
        assert_eq!(image_output(ImageStore::Classic, "r/i:t", &github), None);
    }
}
