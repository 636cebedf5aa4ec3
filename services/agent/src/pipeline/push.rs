use std::{path::PathBuf, time::Instant};

use hearth_api::v1::{
    CacheEntry, CacheReport, CacheSkipReason, ImageStore, PipelineStep, PushOutcome, PushReport,
    TransferDirection, event::Kind,
};
use hearth_domain::{Digest, KeyManifest};
use hearth_layers::{RegistryError, TransferError};

use super::{Context, folders::build_folder, job::CacheUse};
use crate::{
    config::DevcontainerConfig,
    parties::{BuildRequest, CliPlace},
};

const STEP: PipelineStep = PipelineStep::Push;

/// What is left to do for the cache once the workspace is ready.
#[derive(Debug)]
pub enum PushPlan {
    /// Push what was built.
    Upload(Box<Upload>, CacheUse),
    /// Nothing; the report says why.
    Nothing(PushReport),
}

/// An image to push.
#[derive(Debug)]
pub struct Upload {
    /// `repository:tag` that the engine knows it by.
    pub image: String,
    /// The engine's id of it.
    pub image_id: String,
    /// Its inputs.
    pub manifest: KeyManifest,
    /// How long it took to build.
    pub build_seconds: f64,
    /// Where its repository is cloned to.
    pub clone: PathBuf,
    /// The commit that it was built from.
    pub commit: String,
    /// The configuration that it was built from.
    pub config: DevcontainerConfig,
}

impl PushPlan {
    /// The plan after a build.
    pub fn after_build(
        cx: &Context<'_>,
        manifest: Option<KeyManifest>,
        report: &CacheReport,
        upload: impl FnOnce(KeyManifest) -> Upload,
    ) -> Self {
        match (&cx.job.cache, manifest) {
            (Err(reason), _) => Self::skipped(*reason),
            (Ok(cache), _) if !cache.writable => Self::nothing(
                PushOutcome::SkippedReadOnly,
                "this attempt may only read the cache",
            ),
            // What runs is this node's own build of the same inputs; the entry stays what it is.
            (Ok(_), _) if report.skip_reason() == CacheSkipReason::Slower => Self::nothing(
                PushOutcome::Unchanged,
                "the registry has an image for this key already",
            ),
            (Ok(cache), Some(manifest)) => Self::Upload(Box::new(upload(manifest)), cache.clone()),
            (Ok(_), None) => {
                let why = report
                    .reasons
                    .iter()
                    .find(|reason| reason.contains("no cache key"));
                Self::nothing(
                    PushOutcome::Failed,
                    why.map_or("there is no cache key", String::as_str),
                )
            }
        }
    }

    /// Nothing was made that could be cached.
    pub fn not_eligible(why: &str) -> Self {
        Self::nothing(PushOutcome::SkippedNotEligible, why)
    }

    /// The registry has it already.
    pub fn unchanged(digest: &str) -> Self {
        Self::Nothing(PushReport {
            outcome: PushOutcome::Unchanged.into(),
            digest: digest.to_owned(),
            message: "the registry has this image already".to_owned(),
            ..PushReport::default()
        })
    }

    /// The cache was left alone.
    pub fn skipped(reason: CacheSkipReason) -> Self {
        match reason {
            CacheSkipReason::Off | CacheSkipReason::Unspecified => {
                Self::nothing(PushOutcome::SkippedOff, "the cache is off")
            }
            CacheSkipReason::Lightweight => {
                Self::nothing(PushOutcome::SkippedLightweight, "lightweight mode")
            }
            CacheSkipReason::Fallback => Self::nothing(
                PushOutcome::SkippedFallback,
                "the default image runs in place of the repository's own",
            ),
            CacheSkipReason::NoDevcontainer => {
                Self::not_eligible("the repository has no devcontainer of its own")
            }
            CacheSkipReason::Compose => {
                Self::not_eligible("Docker Compose projects are not cached")
            }
            CacheSkipReason::Slower => {
                Self::not_eligible("fetching the image takes longer than building it")
            }
            CacheSkipReason::NotEligible => {
                Self::not_eligible("the configured registry does not cache for this repository")
            }
        }
    }

    fn nothing(outcome: PushOutcome, message: &str) -> Self {
        Self::Nothing(report(outcome, message))
    }
}

/// A report without numbers.
pub fn report(outcome: PushOutcome, message: impl Into<String>) -> PushReport {
    PushReport {
        outcome: outcome.into(),
        message: message.into(),
        ..PushReport::default()
    }
}

/// Carries the plan out and tells what became of it. Nothing here can touch the workspace.
pub async fn carry_out(cx: &Context<'_>, plan: PushPlan) {
    let (upload, cache) = match plan {
        PushPlan::Nothing(report) => {
            cx.recorder.note(Kind::Push(report));
            return;
        }
        PushPlan::Upload(upload, cache) => (upload, cache),
    };
    let began = Instant::now();
    let outcome = cx
        .recorder
        .step(
            STEP,
            format!("pushes {}", upload.image),
            tokio::time::timeout(cx.node.push_timeout, push(cx, &upload, &cache)),
        )
        .await;
    let mut report = match outcome {
        Ok(Ok(report)) => report,
        Ok(Err(report)) => report,
        Err(_) => report(
            PushOutcome::TimedOut,
            format!(
                "the push did not end within {} s; the next attempt tries again",
                cx.node.push_timeout.as_secs()
            ),
        ),
    };
    report.seconds = began.elapsed().as_secs_f64();
    let pushed = report.outcome() == PushOutcome::Pushed;
    cx.recorder.note(Kind::Push(report));
    if pushed && cx.node.store == ImageStore::Containerd {
        export_build_cache(cx, &upload, &cache).await;
    }
}

/// Pushes the image under its key, enters it, and lets the newest tag follow.
async fn push(
    cx: &Context<'_>,
    upload: &Upload,
    cache: &CacheUse,
) -> Result<PushReport, PushReport> {
    let engine = &cx.parties.engine;
    let login = cx.job.registry_login.as_ref();
    let repository = cache.reference.repository();
    let tag = |image: &str| {
        image
            .rsplit_once(':')
            .map(|(_, tag)| tag.to_owned())
            .unwrap_or_default()
    };
    let progress = cx.recorder.transfer(TransferDirection::Push);
    engine
        .push(repository, &tag(&upload.image), login, &progress)
        .await
        .map_err(refused)?;
    let pushed = cx
        .parties
        .registry
        .inspect(&upload.image, login)
        .await
        .map_err(not_found_again)?;
    verify(
        cx,
        upload,
        &format!("{repository}@{}", pushed.digest),
        &pushed.digest,
    )
    .await?;
    let entry = CacheEntry {
        repository: repository.to_owned(),
        key: upload.manifest.key().to_string(),
        digest: pushed.digest.to_string(),
        key_manifest: upload.manifest.canonical_json(),
        config: cx.job.spec.config.clone(),
        platform: cx.node.platform.clone(),
        commit: upload.commit.clone(),
        build_seconds: upload.build_seconds,
        bytes: pushed.bytes,
        ..CacheEntry::default()
    };
    cx.parties
        .index
        .commit(&cx.job.attempt, entry)
        .await
        .map_err(|error| {
            report(
                PushOutcome::Failed,
                format!("the image is in the registry, and could not be entered: {error}"),
            )
        })?;
    let newest = tag(&cache.reference.newest(&cx.node.platform));
    let named = engine.tag(&upload.image, repository, &newest).await;
    let newest_pushed = match named {
        Ok(()) => engine
            .push(repository, &newest, login, &|_| {})
            .await
            .map(|_| ())
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = newest_pushed {
        cx.recorder.warn(format!(
            "the tag {newest} still names an older image: {error}"
        ));
    }
    Ok(PushReport {
        digest: pushed.digest.to_string(),
        bytes: pushed.bytes,
        ..report(PushOutcome::Pushed, upload.image.clone())
    })
}

/// Makes sure that what is in the registry is what was built.
async fn verify(
    cx: &Context<'_>,
    upload: &Upload,
    image: &str,
    digest: &Digest,
) -> Result<(), PushReport> {
    if cx.node.store == ImageStore::Containerd {
        // There the image's id is the digest of its manifest.
        return if digest.as_str() == upload.image_id {
            Ok(())
        } else {
            Err(somebody_elses(digest.as_str(), &upload.image_id))
        };
    }
    // The classic store makes the manifest when it pushes: the layers have to be the same.
    let config = cx
        .parties
        .registry
        .config(image, cx.job.registry_login.as_ref())
        .await
        .map_err(not_found_again)?;
    let built = cx
        .parties
        .engine
        .image(&upload.image_id)
        .await
        .map_err(|error| report(PushOutcome::Failed, error.to_string()))?
        .unwrap_or_default();
    let there = layers_of(&config);
    if there.is_empty() || there != built.layers {
        return Err(somebody_elses(digest.as_str(), &upload.image_id));
    }
    Ok(())
}

fn somebody_elses(there: &str, pushed: &str) -> PushReport {
    report(
        PushOutcome::Failed,
        format!(
            "the registry has {there} under this key, not the {pushed} that was pushed: somebody else writes there"
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

/// Exports BuildKit's cache of every stage by building once more, from a fresh checkout: the workspace's own files
/// belong to its user by now. Every step is in the engine's cache, so nothing runs.
async fn export_build_cache(cx: &Context<'_>, upload: &Upload, cache: &CacheUse) {
    let reference = cache.reference.build_cache(&cx.node.platform);
    let work = async {
        let checkout = cx
            .scratch
            .path()
            .join("export")
            .join(cx.job.repository.name());
        cx.parties
            .git
            .export(&upload.clone, &upload.commit, &checkout, cx.scratch.path())
            .await
            .map_err(|child| child.message)?;
        let folder = build_folder(
            &cx.scratch.path().join("export-build"),
            &checkout,
            &upload.config,
        )?;
        let request = BuildRequest {
            place: CliPlace {
                folder: &folder.folder,
                config: &folder.config,
                scratch: cx.scratch.path(),
                workspace_id: &cx.job.attempt.workspace_id,
            },
            image_name: &upload.image,
            cache_from: None,
            cache_to: Some(&format!(
                "type=registry,ref={reference},mode=max,compression=zstd,oci-mediatypes=true,image-manifest=true"
            )),
            output: Some("type=cacheonly"),
        };
        cx.parties
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

fn refused(error: TransferError) -> PushReport {
    let text = error.to_string();
    match error {
        TransferError::Denied(_) => report(
            PushOutcome::Denied,
            format!("{text}; the credentials need the right to push to this repository"),
        ),
        TransferError::LoginFailed(_) => report(
            PushOutcome::LoginFailed,
            format!("{text}; configure credentials for the registry at the control plane"),
        ),
        TransferError::Stalled => report(PushOutcome::TimedOut, text),
        TransferError::NotFound(_) | TransferError::Failed(_) => report(
            PushOutcome::Failed,
            format!("{text}; the next attempt tries again"),
        ),
    }
}

fn not_found_again(error: RegistryError) -> PushReport {
    report(
        PushOutcome::Failed,
        format!("the image was pushed and is not found again: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_leave_the_cache_alone_is_an_outcome_of_the_push() {
        let outcome = |reason| match PushPlan::skipped(reason) {
            PushPlan::Nothing(report) => report.outcome(),
            PushPlan::Upload(..) => panic!("nothing is to be uploaded"),
        };
        assert_eq!(outcome(CacheSkipReason::Off), PushOutcome::SkippedOff);
        assert_eq!(
            outcome(CacheSkipReason::Lightweight),
            PushOutcome::SkippedLightweight
        );
        assert_eq!(
            outcome(CacheSkipReason::Fallback),
            PushOutcome::SkippedFallback
        );
        assert_eq!(
            outcome(CacheSkipReason::NoDevcontainer),
            PushOutcome::SkippedNotEligible
        );
        assert_eq!(
            outcome(CacheSkipReason::Compose),
            PushOutcome::SkippedNotEligible
        );
        assert_eq!(
            outcome(CacheSkipReason::NotEligible),
            PushOutcome::SkippedNotEligible
        );
    }

    #[test]
    fn the_layers_of_a_configuration_are_read_and_nonsense_has_none() {
        let config = r#"{"rootfs":{"type":"layers","diff_ids":["sha256:a","sha256:b"]}}"#;
        assert_eq!(layers_of(config), ["sha256:a", "sha256:b"]);
        for nonsense in ["", "{}", r#"{"rootfs":{"diff_ids":[1]}}"#] {
            assert!(layers_of(nonsense).is_empty(), "{nonsense}");
        }
    }

    #[test]
    fn a_refused_push_says_by_whom_and_what_to_do() {
        let text = || "text".to_owned();
        for (error, outcome, hint) in [
            (
                TransferError::Denied(text()),
                PushOutcome::Denied,
                "right to push",
            ),
            (
                TransferError::LoginFailed(text()),
                PushOutcome::LoginFailed,
                "configure credentials",
            ),
            (
                TransferError::Stalled,
                PushOutcome::TimedOut,
                "nothing moved",
            ),
            (
                TransferError::Failed(text()),
                PushOutcome::Failed,
                "tries again",
            ),
        ] {
            let report = refused(error);
            assert_eq!(report.outcome(), outcome);
            assert!(report.message.contains(hint), "{}", report.message);
        }
    }
}
