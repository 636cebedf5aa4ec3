use backon::BackoffBuilder as _;
use hearth_api::v1::{PipelineStep, Waiting, event::Kind};
use hearth_domain::{CacheKey, CacheRepository, Digest, KeyedManifest, ServiceName};
use tokio::time::Instant;

use super::{
    context::{Checkout, Context},
    job::CacheUse,
    key::Key,
    subject::Subject,
};
use crate::external::control_plane::{IndexFailure, Question, Resolution, pauses};

/// Smallest change of an estimate that is recorded, in seconds …
const NOTABLE_SECONDS: f64 = 5.0;
/// … and as a part of what was left.
const NOTABLE_PART: f64 = 0.25;

/// An image in the cache.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Where it is.
    pub repository: CacheRepository,
    /// The key that it was built for.
    pub key: CacheKey,
    /// Its digest.
    pub digest: Digest,
    /// The digest of BuildKit's cache of its build.
    pub build_cache: Option<Digest>,
}

/// What the index knows for the key.
#[derive(Debug, Default)]
pub struct Lookup {
    /// An image that was built from the same inputs.
    pub hit: Option<Hit>,
    /// There is an image, and fetching it is expected to take longer than building it.
    pub fetch_is_slower: bool,
    /// There is an image, and nothing proves that it is for the key.
    pub unproven: bool,
    /// There is an image, and it could not be fetched.
    pub unfetched: bool,
    /// Why there is no image to fetch; on a hit, remarks.
    pub reasons: Vec<String>,
    /// Whether an image that is built may be entered into the index.
    pub entering: Entering,
}

impl Lookup {
    /// Whether the index has an image that is not fetched.
    pub fn has_entry(&self) -> bool {
        self.fetch_is_slower || self.unproven || self.unfetched
    }
}

/// Whether an image that was built may be entered into the index, which takes only those that it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entering {
    /// The index was asked, and did not answer.
    Unanswered,
    /// It answered.
    #[default]
    Asked,
    /// It was not asked, since the key does not cover all inputs: these.
    Never(String),
}

/// Asks the index, and waits for another node's build if the index says so. Not fatal: without an answer the image is
/// built.
pub async fn resolve(cx: &Context<'_>, clone: &Checkout, key: &Key, subject: &Subject) -> Lookup {
    let (Ok(cache), Ok(manifest)) = (&subject.cache(cx), &key.manifest) else {
        return Lookup::default();
    };
    if !key.unpinned.is_empty() {
        return Lookup {
            entering: Entering::Never(key.unpinned.join(", ")),
            reasons: key.unpinned.clone(),
            ..Lookup::default()
        };
    }
    let repository = cache.reference.repository();
    let mut wait = Wait::default();
    let question = Question {
        repository,
        service: subject.service(),
        platform: &cx.node.platform,
        manifest,
        may_write: cx.may_write(clone),
    };
    let asks = format!("asks for {}", manifest.key());
    let asking = ask(cx, question, &mut wait);
    let answer = subject.step(cx, PipelineStep::Resolve, asks, asking).await;
    let mut lookup = match answer {
        Ok(Resolution::Hit {
            digest,
            build_cache,
        }) => Lookup {
            hit: Some(Hit {
                repository: repository.clone(),
                key: manifest.key().clone(),
                digest,
                build_cache,
            }),
            ..Lookup::default()
        },
        Ok(Resolution::Unproven(why)) => Lookup {
            unproven: true,
            reasons: vec![why],
            ..Lookup::default()
        },
        Ok(Resolution::Build {
            reasons,
            fetch_is_slower,
        }) => Lookup {
            fetch_is_slower,
            reasons,
            ..Lookup::default()
        },
        Err(error) => Lookup {
            reasons: vec![format!("the cache could not be asked: {error}")],
            entering: Entering::Unanswered,
            ..Lookup::default()
        },
    };
    if let Some(waited) = wait.summary(lookup.hit.is_some(), Instant::now()) {
        lookup.reasons.insert(0, waited);
    }
    lookup
}

/// Asks once. If the connection is lost while the attempt waits for a build, asks again: that build goes on without the
/// control plane.
async fn ask(
    cx: &Context<'_>,
    question: Question<'_>,
    wait: &mut Wait,
) -> Result<Resolution, IndexFailure> {
    let mut pauses = pauses().build();
    loop {
        let mut on_wait = |waiting| {
            if let Some(waiting) = wait.update(waiting, Instant::now()) {
                cx.recorder.note(Kind::Waiting(waiting));
            }
        };
        let answer = cx
            .externals
            .index
            .resolve(&cx.job.attempt, question, &mut on_wait)
            .await;
        match (answer, pauses.next()) {
            (Err(_), Some(pause)) if wait.began.is_some() => tokio::time::sleep(pause).await,
            (answer, _) => return answer,
        }
    }
}

/// Asks once more before the push of an image that was built because the index did not answer. The image of another
/// attempt that there is by now, or that is being built, counts: its digest.
pub async fn ask_again(
    cx: &Context<'_>,
    cache: &CacheUse,
    service: Option<&ServiceName>,
    manifest: &KeyedManifest,
) -> Result<Option<Digest>, IndexFailure> {
    let question = Question {
        repository: cache.reference.repository(),
        service,
        platform: &cx.node.platform,
        manifest,
        // It is about to.
        may_write: true,
    };
    let mut pauses = pauses().build();
    loop {
        let index = &cx.externals.index;
        let answer = index.resolve(&cx.job.attempt, question, &mut |_| {}).await;
        match (answer, pauses.next()) {
            (Ok(Resolution::Hit { digest, .. }), _) => return Ok(Some(digest)),
            (Ok(Resolution::Build { .. }), _) => return Ok(None),
            (Ok(Resolution::Unproven(why)), _) => return Err(IndexFailure(why)),
            (Err(_), Some(pause)) => tokio::time::sleep(pause).await,
            (Err(error), None) => return Err(error),
        }
    }
}

/// A wait for another node's build.
#[derive(Debug, Default)]
struct Wait {
    began: Option<Instant>,
    reported: Option<(Waiting, Instant)>,
}

impl Wait {
    /// Stores who builds and how long that is expected to take; returns it if it is to be recorded, which a mere countdown
    /// is not.
    fn update(&mut self, waiting: Waiting, now: Instant) -> Option<Waiting> {
        self.began.get_or_insert(now);
        if let Some((reported, at)) = &self.reported {
            let left = (reported.seconds - (now - *at).as_secs_f64()).max(0.0);
            let notable = (left * NOTABLE_PART).max(NOTABLE_SECONDS);
            let same = reported.node == waiting.node && reported.unknown == waiting.unknown;
            if same && (waiting.seconds - left).abs() < notable {
                return None;
            }
        }
        self.reported = Some((waiting.clone(), now));
        Some(waiting)
    }

    /// A sentence about the wait, if there was one.
    fn summary(&self, hit: bool, now: Instant) -> Option<String> {
        let seconds = (now - self.began?).as_secs();
        let (Waiting { node, .. }, _) = self.reported.as_ref()?;
        Some(if hit {
            format!("waited {seconds} s for {node}, which built the same image")
        } else {
            format!("waited {seconds} s for {node} to build the same image, in vain")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting(node: &str, seconds: f64) -> Waiting {
        Waiting {
            node: node.to_owned(),
            seconds,
            unknown: false,
        }
    }

    #[test]
    fn a_wait_is_told_when_it_begins_and_when_builder_or_estimate_change_notably() {
        let mut wait = Wait::default();
        let start = Instant::now();
        let mut is_news = |node, seconds, at| {
            wait.update(waiting(node, seconds), start + Duration::from_secs(at))
                .is_some()
        };
        assert!(is_news("node-1", 60.0, 0), "the first one");
        assert!(!is_news("node-1", 50.0, 10), "it only counts down");
        assert!(!is_news("node-1", 47.0, 11), "a little is no news");
        assert!(is_news("node-1", 90.0, 12), "it takes longer");
        assert!(is_news("node-2", 90.0, 12), "somebody else builds");
        assert!(!is_news("node-2", 0.0, 200), "it is overdue, as expected");
        let unknown = Waiting {
            unknown: true,
            ..waiting("node-2", 0.0)
        };
        let later = start + Duration::from_secs(201);
        assert!(wait.update(unknown.clone(), later).is_some());
        assert!(
            wait.update(unknown, later).is_none(),
            "as unknown as before"
        );
    }

    #[test]
    fn a_wait_is_part_of_the_reasons_whichever_way_it_ended() {
        let start = Instant::now();
        let end = start + Duration::from_secs(42);
        assert_eq!(Wait::default().summary(true, end), None, "there was none");
        let mut wait = Wait::default();
        wait.update(waiting("node-1", 60.0), start);
        assert_eq!(
            wait.summary(true, end).unwrap(),
            "waited 42 s for node-1, which built the same image"
        );
        assert!(wait.summary(false, end).unwrap().ends_with("in vain"));
    }
}
