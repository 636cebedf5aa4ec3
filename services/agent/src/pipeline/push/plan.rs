use hearth_api::v1::{CacheReport, CacheSkipReason, PushOutcome, PushReport};
use hearth_domain::{CommitHash, Digest, KeyedManifest};

use crate::{
    devcontainer::DevcontainerConfig,
    disk::ImageUse,
    pipeline::{
        context::Context, job::CacheUse, rebuild::Sources, resolve::Entering, subject::Subject,
    },
};

/// What is pushed after the workspace is ready.
#[derive(Debug)]
pub enum PushPlan {
    /// The image that was built.
    Upload(Box<Upload>, CacheUse),
    /// Nothing; the report says why.
    Nothing(PushReport),
}

/// An image to push.
#[derive(Debug)]
pub struct Upload {
    /// The name that it is pushed under, `repository:tag`.
    pub entry: String,
    /// Its name in the engine, which is the attempt's own.
    pub image: String,
    /// The engine's id of it.
    pub image_id: String,
    /// Its inputs.
    pub manifest: KeyedManifest,
    /// How long it took to build.
    pub build_seconds: f64,
    /// The commit that it was built from.
    pub commit: Option<CommitHash>,
    /// Whether it may be entered into the index.
    pub entering: Entering,
    /// Whether the newest tag follows it.
    pub is_newest: bool,
    /// Which image it is.
    pub subject: Subject,
    /// The configuration that it was built from.
    pub config: DevcontainerConfig,
    /// A copy of what it was built from, if the build cache is to be exported.
    pub sources: Option<Sources>,
    /// Of the repository's build caches when it was built; `None` where the index did not tell.
    pub cache_generation: Option<u64>,
    /// Keeps it from being removed until it is pushed.
    pub _in_use: ImageUse,
}

impl PushPlan {
    /// The plan after a build. `has_entry`: the index has an image for the key, which this node did not fetch.
    pub fn after_build(
        cx: &Context<'_>,
        cache: Result<CacheUse, CacheSkipReason>,
        manifest: Result<KeyedManifest, String>,
        report: &CacheReport,
        may_write: bool,
        has_entry: bool,
        upload: impl FnOnce(&CacheUse, KeyedManifest) -> Upload,
    ) -> Self {
        match (cache, manifest) {
            (Err(reason), _) => Self::skipped(reason),
            (Ok(_), _) if cx.keeps_clone() => Self::nothing(
                PushOutcome::SkippedReadOnly,
                "the image was built from the clone as it was left in the workspace, which is no commit: push your work, and \
                 prepare a workspace of it",
            ),
            (Ok(_), _) if !may_write => Self::nothing(
                PushOutcome::SkippedReadOnly,
                "this attempt may only read the cache: refs that may write are named by --cache-writers of the control plane, \
                 and tags that may by their full names, refs/tags/…",
            ),
            (Ok(_), _) if report.skip_reason() == CacheSkipReason::Slower => Self::nothing(
                PushOutcome::Unchanged,
                "the registry has an image for this key already",
            ),
            (Ok(_), _) if has_entry => Self::nothing(
                PushOutcome::Unchanged,
                "the registry has an image for this key, which could not be fetched here; if other nodes cannot fetch it \
                 either, remove it with `hearth cache rm`",
            ),
            (Ok(_), Err(why)) if report.skip_reason() == CacheSkipReason::NotEligible => {
                Self::not_eligible(&why)
            }
            (Ok(cache), Ok(manifest)) => Self::Upload(Box::new(upload(&cache, manifest)), cache),
            (Ok(_), Err(why)) => Self::nothing(PushOutcome::SkippedNoKey, &why),
        }
    }

    /// Nothing, since the image is not one that can be cached.
    pub fn not_eligible(why: &str) -> Self {
        Self::nothing(PushOutcome::SkippedNotEligible, why)
    }

    /// Nothing, since the registry has the image.
    pub fn unchanged(digest: &Digest) -> Self {
        Self::Nothing(PushReport {
            outcome: PushOutcome::Unchanged.into(),
            digest: digest.to_string(),
            message: "the registry has this image already".to_owned(),
            ..PushReport::default()
        })
    }

    /// Nothing, since the cache was not used.
    pub fn skipped(reason: CacheSkipReason) -> Self {
        match reason {
            CacheSkipReason::Off | CacheSkipReason::Unspecified => {
                Self::nothing(PushOutcome::SkippedOff, "the cache is off")
            }
            CacheSkipReason::Rebuild => Self::nothing(
                PushOutcome::SkippedOff,
                "the request asked for a build without the cache; the entry that the cache has for the same inputs stays, and \
                 `hearth cache rm` removes it",
            ),
            CacheSkipReason::Lightweight => {
                Self::nothing(PushOutcome::SkippedLightweight, "lightweight mode")
            }
            CacheSkipReason::Fallback => Self::nothing(
                PushOutcome::SkippedFallback,
                "another image runs in place of the repository's own",
            ),
            CacheSkipReason::NoDevcontainer => {
                Self::not_eligible("the default image is used as it is")
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
        assert_eq!(outcome(CacheSkipReason::Rebuild), PushOutcome::SkippedOff);
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
}
