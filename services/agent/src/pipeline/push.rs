mod build_cache;
mod plan;
mod refusal;

use std::time::{Duration, Instant};

use hearth_api::v1::{
    ImageStore, PipelineStep, PushOutcome, PushReport, TransferDirection, event::Kind,
};
use hearth_domain::{CacheRepository, repository_and_tag};
use hearth_layers::{RegistryError, Transfer, TransferError};

use super::{
    beside::Beside,
    context::Context,
    job::CacheUse,
    resolve::{Entering, ask_again},
};
use crate::{
    credentials::with_login,
    external::{control_plane::PushedImage, engine::OnTransfer},
};
use build_cache::export_build_cache;
use refusal::{Refusal, shared_base};

pub use build_cache::sources_to_export;
pub use plan::{PushPlan, Upload, report};

const STEP: PipelineStep = PipelineStep::Push;

/// The plan as work beside the start of the container. It does not touch the workspace.
pub fn begin<'a>(cx: &'a Context<'_>, plan: PushPlan) -> Beside<'a, ()> {
    Beside::new(carry_out(cx, plan))
}

/// Carries out the plan and records its outcome.
async fn carry_out(cx: &Context<'_>, plan: PushPlan) {
    let (upload, cache) = match plan {
        PushPlan::Nothing(report) => {
            cx.recorder.note(Kind::Push(report));
            return;
        }
        PushPlan::Upload(upload, cache) => (upload, cache),
    };
    if let Entering::Never(inputs) = &upload.entering {
        let message = format!(
            "the key does not cover all inputs, so no other build uses the image: {inputs}"
        );
        let report = report(PushOutcome::SkippedNoKey, message);
        cx.recorder.note(Kind::Push(report));
        // BuildKit checks what it takes from its cache.
        return export_build_cache(cx, &upload, &cache).await;
    }
    let began = Instant::now();
    let limit = cx.node.push_timeout;
    let outcome = cx
        .recorder
        .step(STEP, format!("pushes {}", upload.entry), async {
            tokio::time::timeout(limit, push(cx, &upload, &cache))
                .await
                .unwrap_or_else(|_| Err(timed_out(limit)))
        })
        .await;
    let (Ok(mut report) | Err(mut report)) = outcome;
    report.seconds = began.elapsed().as_secs_f64();
    let pushed = report.outcome() == PushOutcome::Pushed;
    cx.recorder.note(Kind::Push(report));
    if pushed {
        export_build_cache(cx, &upload, &cache).await;
    }
}

/// Pushes the image under the tag of its key, adds it to the index, and moves the newest tag if it follows the image's branch.
async fn push(
    cx: &Context<'_>,
    upload: &Upload,
    cache: &CacheUse,
) -> Result<PushReport, PushReport> {
    let repository = cache.reference.repository();
    let registry = cx.job.registry().unwrap_or_default();
    // The answer to this request also says which permissions are missing.
    let login = cx.logins.registry().await;
    if let Some(why) = cx.logins.missing_permission(registry) {
        return Err(report(PushOutcome::Denied, why));
    }
    if upload.entering == Entering::Unanswered {
        let known = ask_again(cx, repository, &upload.manifest).await;
        let unknown = |error| {
            let why = format!(
                "the index was asked in vain whether it has an image for this key: {error}"
            );
            report(PushOutcome::Failed, why)
        };
        if let Some(digest) = known.map_err(unknown)? {
            let message = format!("the registry has an image for this key by now: {digest}");
            return Ok(report(PushOutcome::Unchanged, message));
        }
    }
    let tag = |image: &str| repository_and_tag(image).1.to_owned();
    let progress = cx.recorder.transfer(TransferDirection::Push);
    let entry = tag(&upload.entry);
    cx.externals
        .engine
        .tag(&upload.image_id, repository.as_str(), &entry)
        .await
        .map_err(|error| report(PushOutcome::Failed, error.to_string()))?;
    push_tag(cx, repository.as_str(), &entry, &progress)
        .await
        .map_err(|error| Refusal {
            error,
            logged_in: login.is_some(),
            problem: cx.logins.problem(registry),
            base: shared_base(upload.manifest.inputs(), repository.as_str()),
        })
        .map_err(PushReport::from)?;
    let registry = &cx.externals.registry;
    // In the containerd store the image's id is the digest of its manifest, whatever the tag names meanwhile.
    let id = upload.image_id.parse();
    let id = id.ok().filter(|_| cx.node.store == ImageStore::Containerd);
    let looked_for = &id.map_or_else(|| upload.entry.clone(), |id| repository.image(&id));
    let pushed = with_login(cx.logins, repository.as_str(), |login| async move {
        registry.inspect(looked_for, login.as_ref()).await
    })
    .await;
    let pushed = match pushed {
        Err(RegistryError::NotFound(_)) => Err(another_image(upload)),
        pushed => pushed.map_err(not_readable),
    };
    let verified = match pushed {
        Ok(pushed) => verify(cx, upload, &repository.image(&pushed.digest))
            .await
            .map(|()| pushed),
        Err(error) => Err(error),
    };
    let pushed = match verified {
        Ok(pushed) => pushed,
        Err(error) => {
            remove_tag(cx, upload, repository).await;
            return Err(error);
        }
    };
    let image = PushedImage {
        repository,
        digest: &pushed.digest,
        manifest: &upload.manifest,
        config: cx.job.spec.config.as_ref(),
        platform: &cx.node.platform,
        commit: upload.commit.as_ref(),
        build_seconds: upload.build_seconds,
        bytes: pushed.bytes,
    };
    cx.externals
        .index
        .commit(&cx.job.attempt, &image)
        .await
        .map_err(|error| {
            report(
                PushOutcome::Failed,
                format!(
                    "the image is in the registry, and is not in the index, so no other node uses it; the next attempt that \
                     builds it tries again: {error}"
                ),
            )
        })?;
    if upload.is_newest {
        move_newest(cx, upload, cache).await;
    }
    Ok(PushReport {
        digest: pushed.digest.to_string(),
        bytes: pushed.bytes,
        ..report(PushOutcome::Pushed, upload.entry.clone())
    })
}

/// Moves the newest tag to the image, for other tools.
async fn move_newest(cx: &Context<'_>, upload: &Upload, cache: &CacheUse) {
    let repository = cache.reference.repository().as_str();
    let newest = cache.reference.newest(&cx.node.platform);
    let newest = repository_and_tag(&newest).1;
    let named = cx
        .externals
        .engine
        .tag(&upload.image_id, repository, newest);
    let newest_pushed = match named.await {
        Ok(()) => push_tag(cx, repository, newest, &|_| {})
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = newest_pushed {
        cx.recorder.warn(format!(
            "the tag {newest} still names an older image: {error}"
        ));
    }
}

async fn push_tag(
    cx: &Context<'_>,
    repository: &str,
    tag: &str,
    progress: OnTransfer<'_>,
) -> Result<Transfer, TransferError> {
    let engine = &cx.externals.engine;
    with_login(cx.logins, repository, |login| async move {
        engine.push(repository, tag, login.as_ref(), progress).await
    })
    .await
}

/// Removes the tag of an image that is not the one that was built, if it can be removed: nothing has entered that image, and
/// whoever looks at tags alone should not find it.
async fn remove_tag(cx: &Context<'_>, upload: &Upload, repository: &CacheRepository) {
    let registry = &cx.externals.registry;
    let removed = with_login(cx.logins, repository.as_str(), |login| async move {
        let login = login.as_ref();
        let there = registry.digest(&upload.entry, login).await?;
        registry.delete(&repository.image(&there), login).await
    });
    if let Err(error) = removed.await
        && !matches!(error, RegistryError::NotFound(_))
    {
        cx.recorder.warn(format!(
            "the registry keeps another image as {}, which no workspace uses; remove it there: {error}",
            upload.entry
        ));
    }
}

/// Checks that the registry has the image that was built.
async fn verify(cx: &Context<'_>, upload: &Upload, image: &str) -> Result<(), PushReport> {
    if cx.node.store == ImageStore::Containerd {
        return Ok(());
    }
    // The classic store makes the manifest when it pushes, so the layers are compared.
    let config = cx
        .externals
        .registry
        .config(image, cx.logins.for_image(image).await.as_ref())
        .await
        .map_err(not_readable)?;
    let built = cx
        .externals
        .engine
        .image(&upload.image_id)
        .await
        .map_err(|error| report(PushOutcome::Failed, error.to_string()))?
        .unwrap_or_default();
    let there = layers_of(&config);
    if there.is_empty() || there != built.layers {
        return Err(another_image(upload));
    }
    Ok(())
}

fn another_image(upload: &Upload) -> PushReport {
    report(
        PushOutcome::Failed,
        format!(
            "the registry has another image under this key, not the {} that was pushed: another program writes there; let only hearth write to this repository",
            upload.image_id
        ),
    )
}

/// Digests of the uncompressed layers that an image's configuration lists (`rootfs.diff_ids`, OCI image spec).
fn layers_of(config: &str) -> Vec<String> {
    serde_json::from_str::<serde_json::Value>(config)
        .ok()
        .and_then(|config| serde_json::from_value(config.pointer("/rootfs/diff_ids")?.clone()).ok())
        .unwrap_or_default()
}

fn timed_out(limit: Duration) -> PushReport {
    report(
        PushOutcome::TimedOut,
        format!(
            "the push did not end within {} s; the next attempt tries again",
            limit.as_secs()
        ),
    )
}

fn not_readable(error: RegistryError) -> PushReport {
    report(
        PushOutcome::Failed,
        format!("the image was pushed and cannot be read back: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_a_configuration_are_read_and_nonsense_has_none() {
        let config = r#"{"rootfs":{"type":"layers","diff_ids":["sha256:a","sha256:b"]}}"#;
        assert_eq!(layers_of(config), ["sha256:a", "sha256:b"]);
        for nonsense in ["", "{}", r#"{"rootfs":{"diff_ids":[1]}}"#] {
            assert!(layers_of(nonsense).is_empty(), "{nonsense}");
        }
    }
}
