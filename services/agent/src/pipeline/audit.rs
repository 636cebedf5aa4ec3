use std::collections::BTreeSet;

use hearth_api::v1::ImageStore;
use hearth_domain::{AttemptRef, Digest, annotation, sha256_hex};
use tokio::sync::Notify;

use super::{
    beside::Beside,
    builder::builder,
    context::{Checkout, Context},
    rebuild::{Again, KeptSources, Sources, rebuild},
    resolve::Hit,
    sources::limit_sources,
    subject::Subject,
};
use crate::{
    buildkit::{Progress, Status, Update},
    devcontainer::DevcontainerConfig,
    external::{control_plane::Dropped, engine::LocalImage, process::Line},
};

/// What BuildKit says about an exact hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It makes the same image without executing a step.
    Agrees,
    /// It would have executed this step: the key does not see one of its inputs, or the image is another one.
    Executes(String),
    /// It would have made another configuration: these of its properties differ.
    Differs(String),
    /// It took steps of earlier builds on this node, with other layers. They say nothing about the image.
    OwnSteps,
    /// The image was built by other versions, whose digests of the same steps are others.
    OtherBuilder,
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
    subject: Subject,
    kept: &KeptSources,
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
    let Some(sources) = kept.get(cx, clone).await else {
        return Beside::default();
    };
    let config = config.clone();
    Beside::new(async move {
        let limit = cx.node.push_timeout;
        // A name of the attempt's own, with which it is removed.
        let workspace = &cx.job.attempt.workspace;
        let name = format!("{}-audit", subject.image_name(cx));
        let audit = audit(cx, &sources, &config, &hit, &build_cache, (&name, &subject));
        let verdict = tokio::time::timeout(limit, audit)
            .await
            .unwrap_or_else(|_| Verdict::Unknown("it did not end in time".to_owned()));
        if let Err(error) = cx.externals.engine.remove_image(&name).await {
            tracing::info!(workspace.id = %workspace, %error, "the image of an audit is removed with its workspace");
        }
        conclude(cx, &hit, verdict).await;
    })
}

async fn audit(
    cx: &Context<'_>,
    sources: &Sources,
    config: &DevcontainerConfig,
    hit: &Hit,
    build_cache: &Digest,
    (name, subject): (&str, &Subject),
) -> Verdict {
    match is_of_this_builder(cx, hit).await {
        Ok(true) => {}
        Ok(false) => return Verdict::OtherBuilder,
        Err(why) => return Verdict::Unknown(why),
    }
    if let Err(failure) = limit_sources(cx).await {
        return Verdict::Unknown(failure.message);
    }
    let from = format!("type=registry,ref={}", hit.repository.image(build_cache));
    let mut witness = Witness::default();
    let seen = Notify::new();
    let mut on_line = |line: Line<'_>| {
        if witness.takes(line) {
            seen.notify_one();
        }
    };
    let again = Again::Image(&from);
    let built = tokio::select! {
        built = rebuild(cx, sources, config, name, again, subject, &mut on_line) => Some(built),
        // What comes next would be executed too, and tells no more.
        () = seen.notified() => None,
    };
    match witness.verdict(built) {
        Verdict::Agrees => compared(cx, hit, name).await,
        verdict => verdict,
    }
}

/// Whether the image was built by the versions that this node has.
async fn is_of_this_builder(cx: &Context<'_>, hit: &Hit) -> Result<bool, String> {
    let image = hit.repository.image(&hit.digest);
    let login = cx.logins.for_image(&image).await;
    let registry = &cx.externals.registry;
    let annotations = registry.annotations(&image, login.as_ref()).await;
    let annotations = annotations.map_err(|error| error.to_string())?;
    let here = builder(cx).await.ok_or("the engine does not answer")?;
    Ok(annotations.get(annotation::BUILDER) == Some(&here))
}

/// Compares the image of a hit with the one that was built without a step.
async fn compared(cx: &Context<'_>, hit: &Hit, built: &str) -> Verdict {
    let engine = &cx.externals.engine;
    let entered = hit.repository.image(&hit.digest);
    let (entered, built) = tokio::join!(engine.image(&entered), engine.image(built));
    match (entered, built) {
        (Ok(Some(entered)), Ok(Some(built))) => compare(&entered, &built),
        (Err(error), _) | (_, Err(error)) => Verdict::Unknown(error.to_string()),
        (Ok(None), _) | (_, Ok(None)) => {
            Verdict::Unknown("the engine does not have both images".to_owned())
        }
    }
}

fn compare(entered: &LocalImage, built: &LocalImage) -> Verdict {
    let [was, is] = [&entered.config, &built.config];
    let properties: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let differ = |property: &&String| was.get(*property) != is.get(*property);
    let differing: Vec<_> = properties.into_iter().filter(differ).cloned().collect();
    if !differing.is_empty() {
        Verdict::Differs(differing.join(", "))
    } else if entered.layers != built.layers {
        Verdict::OwnSteps
    } else {
        Verdict::Agrees
    }
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
        Verdict::Differs(_) => "DIFFERS",
        Verdict::OwnSteps => "OWN_STEPS",
        Verdict::OtherBuilder => "OTHER_BUILDER",
        Verdict::Unknown(_) => "UNKNOWN",
    });
    let (finding, why) = match &verdict {
        Verdict::Agrees | Verdict::OwnSteps | Verdict::OtherBuilder => return,
        Verdict::Unknown(why) => {
            tracing::info!(workspace.id = %cx.job.attempt.workspace, cache.key = %hit.key, why, "an audit of a cached image could not tell");
            return;
        }
        Verdict::Executes(step) => (
            format!("BuildKit would have run {step:?} again"),
            Dropped::Executed(step),
        ),
        Verdict::Differs(properties) => (
            format!("BuildKit would have set {properties} of its configuration otherwise"),
            Dropped::Differs(properties),
        ),
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
        .drop_entry(&cx.job.attempt, repository, key, digest, why)
        .await;
    let dropped = match dropped {
        Ok(()) => "its entry is dropped, and the next attempt builds".to_owned(),
        Err(error) => format!("its entry could not be dropped: {error}"),
    };
    cx.recorder.warn(format!(
        "an audit found that the image of this workspace may not be what its files make: {finding}, so {key} does not \
         see one of its inputs; {dropped}"
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
    fn images_differ_by_configuration_and_other_layers_alone_say_nothing() {
        let image = |env: &str, layer: &str| LocalImage {
            config: [
                ("Env".to_owned(), env.into()),
                ("User".to_owned(), "u".into()),
            ]
            .into(),
            layers: vec![layer.to_owned()],
            ..LocalImage::default()
        };
        let entered = image("A=1", "a");
        assert_eq!(compare(&entered, &image("A=1", "a")), Verdict::Agrees);
        assert_eq!(compare(&entered, &image("A=1", "b")), Verdict::OwnSteps);
        for layer in ["a", "b"] {
            let differs = Verdict::Differs("Env".to_owned());
            assert_eq!(compare(&entered, &image("A=2", layer)), differs);
        }
        let mut without = entered.clone();
        without.config.remove("User");
        let differs = Verdict::Differs("User".to_owned());
        assert_eq!(compare(&entered, &without), differs);
        assert_eq!(compare(&without, &entered), differs);
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
