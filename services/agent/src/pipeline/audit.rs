use hearth_api::v1::ImageStore;
use hearth_domain::{AttemptRef, Digest, sha256_hex};
use tokio::sync::Notify;

use super::{
    beside::Beside,
    context::{Checkout, Context},
    rebuild::{BuildCache, Sources, keep_sources, rebuild},
    resolve::Hit,
};
use crate::{
    buildkit::{Progress, Status, Update},
    devcontainer::DevcontainerConfig,
    external::{control_plane::Dropped, process::Line},
};

/// What BuildKit says about an exact hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All steps are in the build cache that came with the image.
    Agrees,
    /// It would have executed this step: the key does not see one of its inputs, or the image is another one.
    Executes(String),
    /// It cannot be told, and why.
    Unknown(String),
}

/// Whether hits of an attempt are audited, at `percent` of all attempts.
pub fn is_chosen(attempt: &AttemptRef, percent: u8) -> bool {
    let hash = sha256_hex(format!("audit {} {}", attempt.workspace, attempt.number));
    u32::from_str_radix(&hash[..8], 16).is_ok_and(|number| number % 100 < u32::from(percent))
}

/// Prepares the audit of an exact hit, if the attempt is chosen and may write to the cache: the same image is built from
/// the build cache that came with it, which executes nothing if the key has told the truth. It begins when its first
/// await does, and touches neither the workspace nor its image.
pub async fn prepare<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    hit: Hit,
) -> Beside<'a, ()> {
    // One that only reads drops nothing, and its cache mounts have other names, which BuildKit counts.
    let wanted = cx.may_write(clone) && is_chosen(&cx.job.attempt, cx.node.audit_percent);
    // An inline cache has no digest of its own: its image is what is to be audited.
    let build_cache = hit.build_cache.clone();
    let Some(build_cache) =
        build_cache.filter(|_| wanted && cx.node.store == ImageStore::Containerd)
    else {
        return Beside::default();
    };
    let Some(sources) = keep_sources(cx, clone).await else {
        return Beside::default();
    };
    let config = config.clone();
    Beside::new(async move {
        let limit = cx.node.push_timeout;
        let verdict = tokio::time::timeout(limit, audit(cx, &sources, &config, &hit, &build_cache))
            .await
            .unwrap_or_else(|_| Verdict::Unknown("it did not end in time".to_owned()));
        conclude(cx, &hit, verdict).await;
    })
}

async fn audit(
    cx: &Context<'_>,
    sources: &Sources,
    config: &DevcontainerConfig,
    hit: &Hit,
    build_cache: &Digest,
) -> Verdict {
    let image = hit.repository.image(&hit.digest);
    let from = format!("type=registry,ref={}", hit.repository.image(build_cache));
    let mut witness = Witness::default();
    let seen = Notify::new();
    let mut on_line = |line: Line<'_>| {
        if witness.takes(line) {
            seen.notify_one();
        }
    };
    let from = BuildCache::From(&from);
    let built = tokio::select! {
        built = rebuild(cx, sources, config, &image, from, &mut on_line) => Some(built),
        // What comes next would be executed too, and tells no more.
        () = seen.notified() => None,
    };
    witness.verdict(built)
}

/// Watches a build for a step that is executed.
#[derive(Default)]
struct Witness {
    progress: Progress,
    executed: Option<String>,
}

impl Witness {
    /// Whether the line tells of the first step that was executed.
    fn takes(&mut self, line: Line<'_>) -> bool {
        let Line::Text(line) = line else { return false };
        if self.executed.is_some() {
            return false;
        }
        let mut updates = self.progress.line(line).into_iter();
        self.executed = updates.find_map(|update| match update {
            Update::Step(step) if step.status == Status::Done => Some(step.name),
            _ => None,
        });
        self.executed.is_some()
    }

    fn verdict(self, built: Option<Result<(), String>>) -> Verdict {
        match (self.executed, built) {
            _ if self.progress.lost_cache() => {
                Verdict::Unknown("the build cache could not be read".to_owned())
            }
            (Some(step), _) => Verdict::Executes(step),
            (None, Some(Err(why))) => Verdict::Unknown(why),
            (None, Some(Ok(())) | None) => Verdict::Agrees,
        }
    }
}

/// Tells what came out. The entry of a wrong image is dropped.
async fn conclude(cx: &Context<'_>, hit: &Hit, verdict: Verdict) {
    cx.recorder.audited(match &verdict {
        Verdict::Agrees => "AGREES",
        Verdict::Executes(_) => "EXECUTES",
        Verdict::Unknown(_) => "UNKNOWN",
    });
    let step = match verdict {
        Verdict::Agrees => return,
        Verdict::Unknown(why) => {
            tracing::info!(workspace.id = %cx.job.attempt.workspace, cache.key = %hit.key, why, "an audit of a cached image could not tell");
            return;
        }
        Verdict::Executes(step) => step,
    };
    let Hit {
        repository,
        key,
        digest,
        ..
    } = hit;
    let dropped = cx
        .externals
        .index
        .drop_entry(
            &cx.job.attempt,
            repository,
            key,
            digest,
            Dropped::Executed(&step),
        )
        .await;
    let dropped = match dropped {
        Ok(()) => "its entry is dropped, and the next attempt builds".to_owned(),
        Err(error) => format!("its entry could not be dropped: {error}"),
    };
    cx.recorder.warn(format!(
        "an audit found that the image of this workspace may not be what its files make: BuildKit would have run \
         {step:?} again, so {key} does not see one of its inputs; {dropped}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(name: &str, rest: &str) -> String {
        format!(
            r#"{{"vertexes":[{{"digest":"{name}","name":"{name}","started":"2026-01-01T00:00:00Z"{rest}}}]}}"#
        )
    }

    const DONE: &str = r#","completed":"2026-01-01T00:00:01Z""#;

    fn verdict(lines: &[String], built: Option<Result<(), String>>) -> Verdict {
        let mut witness = Witness::default();
        for line in lines {
            witness.takes(Line::Text(line));
        }
        witness.verdict(built)
    }

    #[test]
    fn only_a_step_that_was_executed_speaks_against_an_image() {
        let cached = vertex("[1/2] RUN a", &format!(r#"{DONE},"cached":true"#));
        let base = vertex("[base 1/2] FROM x", DONE);
        let begun = vertex("[2/2] RUN b", "");
        let run = vertex("[2/2] RUN b", DONE);
        let failed = vertex("[2/2] RUN b", &format!(r#"{DONE},"error":"lost a layer""#));
        let lost = vertex(
            "importing cache manifest from r/a",
            &format!(r#"{DONE},"error":"gone""#),
        );
        let ok = || Some(Ok(()));
        let broken = || Some(Err("broken".to_owned()));
        assert_eq!(verdict(&[cached.clone(), base], ok()), Verdict::Agrees);
        let executes = Verdict::Executes("[2/2] RUN b".into());
        for built in [None, ok(), broken()] {
            let lines = [cached.clone(), begun.clone(), run.clone()];
            assert_eq!(verdict(&lines, built), executes);
        }
        let unknown = |verdict| matches!(verdict, Verdict::Unknown(_));
        assert!(unknown(verdict(&[cached, failed], broken())));
        assert!(unknown(verdict(&[lost, run], ok())));
        assert!(unknown(verdict(&[begun], broken())));
    }

    #[test]
    fn so_many_percent_of_the_attempts_are_chosen() {
        let chosen = |percent| {
            let attempts = (0..1000).map(|n| AttemptRef {
                workspace: format!("ws-{n}").parse().unwrap(),
                number: 1,
            });
            attempts
                .filter(|attempt| is_chosen(attempt, percent))
                .count()
        };
        assert_eq!((chosen(0), chosen(100)), (0, 1000));
        assert!((70..130).contains(&chosen(10)), "{}", chosen(10));
    }
}
