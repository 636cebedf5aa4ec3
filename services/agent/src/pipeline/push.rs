mod build_cache;
mod plan;
mod refusal;
mod sum;

use std::time::{Duration, Instant};

use hearth_api::v1::{
    ImageStore, PipelineStep, PushOutcome, PushReport, TransferDirection, event::Kind,
};
use hearth_domain::{CacheRepository, repository_and_tag};
use hearth_layers::{Outgoing, RegistryError, Way};
use tokio::sync::mpsc;

use super::{
    beside::Beside,
    context::Context,
    job::CacheUse,
    resolve::{Entering, ask_again},
};
use crate::{credentials::with_login, external::control_plane::PushedImage};
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
    let (report, exported) = upload(cx, plan).await;
    cx.recorder.note(Kind::Push(report));
    if let Some((upload, cache)) = exported {
        export_build_cache(cx, &upload, &cache).await;
    }
}

/// Where the plans of several images go, with the services that they are for.
pub type Plans = mpsc::UnboundedSender<(String, PushPlan)>;

/// The pushes of several images as work beside the steps: each begins as soon as its plan is there, and they have one outcome,
/// which is recorded when there is none any more.
pub fn begin_several<'a>(cx: &'a Context<'_>) -> (Plans, Beside<'a, ()>) {
    let (plans, mut queue) = mpsc::unbounded_channel::<(String, PushPlan)>();
    let work = async move {
        let (mut reports, mut exports) = (Vec::new(), Vec::new());
        while let Some((service, plan)) = queue.recv().await {
            let (report, exported) = Box::pin(upload(cx, plan)).await;
            reports.push((service, report));
            exports.extend(exported);
        }
        cx.recorder.note(Kind::Push(sum::of(reports)));
        for (upload, cache) in exports {
            Box::pin(export_build_cache(cx, &upload, &cache)).await;
        }
    };
    (plans, Beside::new(work))
}

/// Pushes what the plan says. Returns what is to be exported to the build cache afterwards.
async fn upload(cx: &Context<'_>, plan: PushPlan) -> (PushReport, Option<(Box<Upload>, CacheUse)>) {
    let (upload, cache) = match plan {
        PushPlan::Nothing(report) => return (report, None),
        PushPlan::Upload(upload, cache) => (upload, cache),
    };
    if let Entering::Never(inputs) = &upload.entering {
        let message = format!(
            "the key does not cover all inputs, so no other build uses the image: {inputs}"
        );
        let report = report(PushOutcome::SkippedNoKey, message);
        // BuildKit checks what it takes from its cache.
        return (report, Some((upload, cache)));
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
    (report, pushed.then_some((upload, cache)))
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
        let service = upload.subject.service();
        let known = ask_again(cx, cache, service, &upload.manifest).await;
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
    let progress = &cx.recorder.transfer(TransferDirection::Push);
    let image = Outgoing {
        id: &upload.image_id,
        repository: repository.as_str(),
        tag: repository_and_tag(&upload.entry).1,
        // It is in the index, which believes it.
        like: cache.newest_digest.as_ref(),
    };
    let engine = &cx.externals.engine;
    // The name also keeps it in the engine when its workspace is deleted.
    engine
        .tag(image.id, image.repository, image.tag)
        .await
        .map_err(|error| report(PushOutcome::Failed, error.to_string()))?;
    let outgoing = &image;
    let sent = with_login(cx.logins, repository.as_str(), |login| async move {
        engine.push(outgoing, login.as_ref(), progress).await
    });
    let sent = sent
        .await
        .map_err(|error| Refusal {
            error,
            logged_in: login.is_some(),
            problem: cx.logins.problem(registry),
            base: shared_base(upload.manifest.inputs(), repository.as_str()),
        })
        .map_err(PushReport::from)?;
    let registry = &cx.externals.registry;
    // What the agent pushed has a manifest of its own. What the engine pushed has that of the image's id in the containerd
    // store. Both whatever the tag names meanwhile.
    let id = || upload.image_id.parse().ok();
    let id = sent
        .digest
        .or_else(|| id().filter(|_| cx.node.store == ImageStore::Containerd));
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
        service: upload.subject.service(),
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
        move_newest(cx, cache, &repository.image(&pushed.digest)).await;
    }
    let message = match sent.way {
        Way::Fallback(why) => format!(
            "{}; the engine pushed it, as it has it and not in frames, since the agent could not: {why}",
            upload.entry
        ),
        Way::Direct | Way::Engine => upload.entry.clone(),
    };
    Ok(PushReport {
        digest: pushed.digest.to_string(),
        bytes: pushed.bytes,
        ..report(PushOutcome::Pushed, message)
    })
}

/// Moves the newest tag to the image, which is in the registry, for other tools.
async fn move_newest(cx: &Context<'_>, cache: &CacheUse, image: &str) {
    let newest = cache.reference.newest(&cx.node.platform);
    let newest = repository_and_tag(&newest).1;
    let registry = &cx.externals.registry;
    let moved = with_login(cx.logins, image, |login| async move {
        registry.tag(image, newest, login.as_ref()).await
    });
    if let Err(error) = moved.await {
        cx.recorder.warn(format!(
            "the tag {newest} still names an older image: {error}"
        ));
    }
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
