use std::time::Instant;

use hearth_api::v1::{Failure, FailureReason, ImageStore};
use hearth_domain::{CacheKey, KeyManifest, Repository};
use hearth_layers::RegistryError;

use super::STEP;
use crate::{
    attempt::{OutputSink, Recorder},
    buildkit::{Counts, Progress, Told},
    config::DevcontainerConfig,
    parties::{BuildRequest, ChildFailure, CliPlace, Line, Tail},
    pipeline::{Clone, Context, child_failure, failure, folders::build_folder},
};

/// An image that was built.
pub(super) struct Built {
    pub counts: Counts,
    pub seconds: f64,
    pub image_id: String,
}

/// Builds the image, with the registry's cache where there is one.
pub(super) async fn build(
    cx: &Context<'_>,
    clone: &Clone,
    config: &DevcontainerConfig,
    name: &str,
    manifest: Option<&KeyManifest>,
    reasons: &mut Vec<String>,
) -> Result<Built, Failure> {
    let began = Instant::now();
    let folder = build_folder(&cx.scratch.path().join("build"), &clone.folder, config)
        .map_err(|why| failure(FailureReason::ConfigInvalid, STEP, why))?;
    let cache_from = build_cache(cx, reasons).await;
    let annotations = manifest.map(|manifest| annotations(&cx.job.repository, &manifest.key()));
    let output = image_output(cx.node.store, name, &annotations.unwrap_or_default());
    let request = BuildRequest {
        place: CliPlace {
            folder: &folder.folder,
            config: &folder.config,
            scratch: cx.scratch.path(),
            workspace_id: &cx.job.attempt.workspace_id,
        },
        image_name: name,
        cache_from: cache_from.as_deref(),
        cache_to: None,
        output: output.as_deref(),
    };
    let mut result = run_build(cx, &request).await;
    if let (Err(child), true) = (&result, cache_from.is_some()) {
        // A cache that lost a blob fails the build that reads it. What was built so far is in the engine's own cache.
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
        result = run_build(cx, &request).await;
    }
    let counts = result.map_err(|child| {
        let message = format!("the image cannot be built: {}", child.message);
        child_failure(FailureReason::BuildFailed, STEP, message, child.tail)
    })?;
    let image = cx
        .parties
        .engine
        .image(name)
        .await
        .map_err(|error| failure(FailureReason::EngineFailed, STEP, error))?
        .ok_or_else(|| {
            failure(
                FailureReason::EngineFailed,
                STEP,
                "the image that was built is not there",
            )
        })?;
    Ok(Built {
        counts,
        seconds: began.elapsed().as_secs_f64(),
        image_id: image.id,
    })
}

async fn run_build(cx: &Context<'_>, request: &BuildRequest<'_>) -> Result<Counts, ChildFailure> {
    let mut progress = BuildProgress::new(cx.recorder);
    let result = cx
        .parties
        .devcontainer
        .build(request, &mut |line| progress.take(line))
        .await;
    let (counts, failed, tail) = progress.finish();
    // The CLI's own message is the whole command line, and its tail is BuildKit's JSON.
    result.map(|()| counts).map_err(|child| ChildFailure {
        message: shortened(failed.as_deref().unwrap_or(&child.message)),
        tail,
    })
}

/// A sentence, not a script.
fn shortened(message: &str) -> String {
    const MAX_CHARS: usize = 300;
    match message.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// How the image is written. The containerd store compresses layers while it builds: zstd takes a fifth of gzip's time
/// there and unpacks faster on the next node; it needs OCI media types. The classic store compresses when it pushes.
fn image_output(
    store: ImageStore,
    name: &str,
    annotations: &[(&'static str, String)],
) -> Option<String> {
    if store != ImageStore::Containerd {
        return None;
    }
    let mut output = format!("type=image,name={name},compression=zstd,oci-mediatypes=true");
    for (key, value) in annotations {
        // The list is separated by commas and quoted like CSV; nothing that is said here needs either.
        if !value.contains([',', '"', '\n', '\r']) {
            output.push_str(&format!(",annotation-manifest.{key}={value}"));
        }
    }
    Some(output)
}

/// What an image says of itself in its manifest, so that it can be verified when only the registry remembers it. All of
/// it follows from the key: the commit (`org.opencontainers.image.revision`) is left out, because it would give the same
/// image another digest with every commit.
fn annotations(repository: &Repository, key: &CacheKey) -> Vec<(&'static str, String)> {
    let mut annotations = vec![("dev.hearth.key", key.to_string())];
    if let Some((_, hex)) = key.as_str().split_once(':') {
        annotations.push(("dev.hearth.manifest-digest", format!("sha256:{hex}")));
    }
    if repository.is_github() {
        // GHCR links a package to the repository that this names.
        annotations.push((
            "org.opencontainers.image.source",
            format!("https://github.com/{}", repository.path()),
        ));
    }
    annotations
}

/// The BuildKit cache to read, as `--cache-from` takes it. It is looked for first: a registry that does not answer
/// would hold up the build.
async fn build_cache(cx: &Context<'_>, reasons: &mut Vec<String>) -> Option<String> {
    let cache = cx.job.cache.as_ref().ok()?;
    let reference = match cx.node.store {
        ImageStore::Containerd => cache.reference.build_cache(&cx.node.platform),
        // The classic store exports no cache of its own; the image carries an inline one.
        ImageStore::Classic | ImageStore::Unspecified => cache.reference.newest(&cx.node.platform),
    };
    match cx
        .parties
        .registry
        .digest(&reference, cx.logins.for_image(&reference).await.as_ref())
        .await
    {
        Ok(_) => Some(format!("type=registry,ref={reference}")),
        Err(RegistryError::NotFound(_)) => {
            reasons.push("the registry has no build cache for this repository yet".to_owned());
            None
        }
        Err(error) => {
            reasons.push(format!("the build cache could not be read: {error}"));
            None
        }
    }
}

/// Turns a build's output into events.
struct BuildProgress<'a> {
    recorder: &'a Recorder,
    output: OutputSink,
    progress: Progress,
    tail: Tail,
}

impl<'a> BuildProgress<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            output: recorder.output(STEP),
            progress: Progress::default(),
            tail: Tail::default(),
        }
    }

    fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => {
                let told = self.progress.line(text);
                self.tell(told);
            }
            Line::Quiet => self.output.flush(),
        }
    }

    /// What was counted, the step that failed, and the last lines of output.
    fn finish(mut self) -> (Counts, Option<String>, String) {
        let told = self.progress.close();
        self.tell(told);
        let failed = self.progress.failed().map(str::to_owned);
        (self.progress.counts(), failed, self.tail.into_text())
    }

    fn tell(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Output(line) => {
                    self.tail.push(&line);
                    self.output.line(&line);
                }
                Told::Step(change) => {
                    // What was printed before belongs before it in the log.
                    self.output.flush();
                    self.recorder.build_step(change);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::event::Kind;

    use super::*;

    #[test]
    fn an_image_names_its_key_and_its_repository_on_github_in_annotations() {
        let key: CacheKey = format!("k1:{}", "a".repeat(64)).parse().unwrap();
        let on = |url: &str| annotations(&url.parse().unwrap(), &key);
        let github = on("https://github.com/owner/repo");
        let output = image_output(ImageStore::Containerd, "r/i:t", &github).unwrap();
        let expected = format!(
            "type=image,name=r/i:t,compression=zstd,oci-mediatypes=true\
             ,annotation-manifest.dev.hearth.key={key}\
             ,annotation-manifest.dev.hearth.manifest-digest=sha256:{}\
             ,annotation-manifest.org.opencontainers.image.source=https://github.com/owner/repo",
            "a".repeat(64)
        );
        assert_eq!(output, expected);
        assert_eq!(on("https://git.example/owner/repo").len(), 2);
        assert_eq!(image_output(ImageStore::Classic, "r/i:t", &github), None);
    }

    #[test]
    fn a_step_is_told_between_the_output_before_and_after_it() {
        let log = std::sync::Arc::new(crate::attempt::AttemptLog::new(1));
        let recorder = Recorder::new(
            log.clone(),
            crate::metrics::AgentMetrics::new(&hearth_runtime::Metrics::default()),
        );
        let mut progress = BuildProgress::new(&recorder);
        let vertex = |rest: &str| {
            format!(
                r#"{{"vertexes":[{{"digest":"a","name":"[1/1] RUN x","started":"2026-01-01T00:00:00Z"{rest}}}]}}"#
            )
        };
        progress.take(Line::Text("before"));
        progress.take(Line::Text(&vertex("")));
        progress.take(Line::Text(
            r#"{"logs":[{"vertex":"a","data":"aW5zaWRlCg=="}]}"#,
        ));
        progress.take(Line::Text(&vertex(r#","cached":true"#)));
        progress.take(Line::Text("after"));
        assert_eq!(
            progress.finish().0,
            Counts {
                total: 1,
                reused: 1
            }
        );
        let kinds: Vec<_> = log
            .after(0, None)
            .events
            .into_iter()
            .filter_map(|event| event.kind)
            .map(|kind| match kind {
                Kind::Log(chunk) => chunk.text,
                Kind::BuildStep(step) => format!("<{:?}>", step.status()),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            ["before", "<Started>", "#1 inside", "<Cached>", "after"]
        );
    }
}
