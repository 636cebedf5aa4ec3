use std::time::Instant;

use hearth_api::v1::{
    CacheEntry, CacheReport, CacheResult, CacheSkipReason, Failure, FailureReason, ImageStore,
    PipelineStep, TransferDirection,
};
use hearth_domain::{CacheKey, KeyManifest, Repository};
use hearth_layers::{RegistryError, TransferError};

use super::{
    Bet, Clone, Context, ImageUse, PushPlan, child_failure, failure, folders::build_folder,
    key::Key, push::Upload, resolve::Lookup,
};
use crate::{
    attempt::Recorder,
    buildkit::{Counts, Progress, Told},
    config::{DevcontainerConfig, ImageSource},
    parties::{BuildRequest, ChildFailure, CliPlace, Line, OnTransfer, Tail, volume_name},
};

const STEP: PipelineStep = PipelineStep::Image;

/// An image that the engine has, how it came there, and what is left to do for the cache.
#[derive(Debug)]
pub struct Image {
    /// What the engine knows it by.
    pub name: String,
    /// What the cache did.
    pub report: CacheReport,
    /// The background work.
    pub push: PushPlan,
    /// Keeps it from being removed until its container is there.
    pub in_use: ImageUse,
}

/// A report of a cache that was left alone.
pub fn skipped(reason: CacheSkipReason) -> CacheReport {
    CacheReport {
        result: CacheResult::Skipped.into(),
        skip_reason: reason.into(),
        ..CacheReport::default()
    }
}

/// Fetches the image, or builds it. A hit that cannot be fetched is built; only a build can fail.
pub async fn obtain(
    cx: &Context<'_>,
    clone: &Clone,
    config: &DevcontainerConfig,
    key: Key,
    lookup: Lookup,
    bet: &mut Bet<'_>,
) -> Result<Image, Failure> {
    if let Some(image) = as_it_is(config) {
        bet.call_off(cx).await;
        return fetch_as_it_is(cx, image).await;
    }
    let mut reasons = lookup.reasons;
    if let Some(entry) = lookup.hit {
        match fetch(cx, &entry, bet).await {
            Ok(mut image) => {
                image.report.reasons.extend(reasons);
                return Ok(image);
            }
            Err(reason) => reasons.insert(0, reason),
        }
    }
    // Before the build: it needs what the fetch would take of network and disk.
    bet.call_off(cx).await;
    reasons.extend(key.reasons);
    let name = image_name(cx, key.manifest.as_ref());
    let description = "builds the image".to_owned();
    let built = cx
        .recorder
        .step(
            STEP,
            description,
            build(
                cx,
                clone,
                config,
                &name,
                key.manifest.as_ref(),
                &mut reasons,
            ),
        )
        .await?;
    let skip_reason = match &cx.job.cache {
        Err(reason) => Some(*reason),
        Ok(_) => lookup.fetch_is_slower.then_some(CacheSkipReason::Slower),
    };
    let report = CacheReport {
        result: match (skip_reason, built.counts.reused) {
            (Some(_), _) => CacheResult::Skipped,
            (None, 0) => CacheResult::Miss,
            (None, _) => CacheResult::Partial,
        }
        .into(),
        skip_reason: skip_reason.unwrap_or_default().into(),
        reasons,
        steps_total: built.counts.total,
        steps_reused: built.counts.reused,
        seconds: built.seconds,
        key: key
            .manifest
            .as_ref()
            .map(|manifest| manifest.key().to_string())
            .unwrap_or_default(),
        image_digest: if cx.node.store == ImageStore::Containerd {
            built.image_id.clone()
        } else {
            String::new()
        },
        ..CacheReport::default()
    };
    let push = PushPlan::after_build(cx, key.manifest, &report, |manifest| Upload {
        image: name.clone(),
        image_id: built.image_id,
        manifest,
        build_seconds: built.seconds,
        clone: clone.folder.clone(),
        commit: clone.commit.clone(),
        config: config.clone(),
    });
    Ok(Image {
        in_use: cx.node.images.enter(&name),
        name,
        report,
        push,
    })
}

/// The image for repositories without a devcontainer of their own.
pub async fn fetch_default(cx: &Context<'_>) -> Result<String, Failure> {
    let image = cx.node.default_image.clone();
    cx.recorder
        .step(
            STEP,
            format!("fetches the default image {image}"),
            ensure(cx, &image),
        )
        .await
        .map(|_| image)
}

/// A configuration that names an image and adds nothing to it has nothing of its own to cache.
fn as_it_is(config: &DevcontainerConfig) -> Option<&str> {
    let features = config
        .properties
        .get("features")
        .and_then(|value| value.as_object());
    let adds_nothing = features.is_none_or(|features| features.is_empty());
    (config.image_source() == Some(ImageSource::Image) && adds_nothing)
        .then(|| config.text("image"))
        .flatten()
        // The CLI substitutes variables; it then fetches the image by itself.
        .filter(|image| !image.contains("${"))
}

async fn fetch_as_it_is(cx: &Context<'_>, image: &str) -> Result<Image, Failure> {
    let began = Instant::now();
    let bytes_fetched = cx
        .recorder
        .step(STEP, format!("fetches {image}"), ensure(cx, image))
        .await?;
    let why = format!("the configuration uses {image} as it is");
    Ok(Image {
        in_use: cx.node.images.enter(image),
        name: image.to_owned(),
        report: CacheReport {
            reasons: vec![why.clone()],
            bytes_fetched,
            seconds: began.elapsed().as_secs_f64(),
            ..skipped(CacheSkipReason::NotEligible)
        },
        push: PushPlan::not_eligible(&why),
    })
}

/// Makes sure that the engine has an image; returns the bytes that had to be fetched for it.
async fn ensure(cx: &Context<'_>, image: &str) -> Result<u64, Failure> {
    let progress = cx.recorder.transfer(TransferDirection::Fetch);
    pull(cx, image, &progress).await.map_err(|error| {
        failure(
            FailureReason::BuildFailed,
            STEP,
            format!("{image} cannot be fetched: {error}"),
        )
    })
}

/// Fetches an image, unless the engine has it, and returns the compressed bytes of the layers that were not there. The
/// registry is asked for their sizes meanwhile: the engine does not tell of a layer that arrives quickly.
pub async fn pull(
    cx: &Context<'_>,
    image: &str,
    progress: OnTransfer<'_>,
) -> Result<u64, TransferError> {
    if matches!(cx.parties.engine.image(image).await, Ok(Some(_))) {
        return Ok(0);
    }
    let login = login_for(cx, image);
    let (pulled, info) = tokio::join!(
        cx.parties.engine.pull(image, login, progress),
        cx.parties.registry.inspect(image, login)
    );
    let pulled = pulled?;
    Ok(info.map_or(pulled.transfer.done, |info| {
        info.bytes_without(&pulled.present)
    }))
}

/// The login of the cache's registry is for nobody else.
pub fn login_for<'a>(cx: &'a Context<'_>, image: &str) -> Option<&'a hearth_layers::RegistryLogin> {
    cx.job
        .registry_login
        .as_ref()
        .filter(|login| image.split('/').next() == Some(login.registry.as_str()))
}

/// Fetches the image of an entry by its digest; the reason when that does not work.
async fn fetch(cx: &Context<'_>, entry: &CacheEntry, bet: &mut Bet<'_>) -> Result<Image, String> {
    let name = format!("{}@{}", entry.repository, entry.digest);
    let in_use = cx.node.images.enter(&name);
    let began = Instant::now();
    let mut reasons = vec!["an image built from the same inputs is in the registry".to_owned()];
    let fetched = cx
        .recorder
        .step(STEP, format!("fetches {name}"), async {
            if bet.is_on(&name)
                && let Some(fetched) = bet.won().await
            {
                reasons.push("its fetch began while the clone was made".to_owned());
                return fetched;
            }
            // Another image than the one that the bet is on, or one that the engine may have.
            bet.call_off(cx).await;
            let progress = cx.recorder.transfer(TransferDirection::Fetch);
            pull(cx, &name, &progress).await
        })
        .await;
    let bytes_fetched = match fetched {
        Ok(bytes) => bytes,
        Err(error) => {
            if matches!(error, TransferError::NotFound(_)) {
                let dropped = cx.parties.index.drop_entry(&cx.job.attempt, entry).await;
                if let Err(error) = dropped {
                    cx.recorder.warn(format!(
                        "the entry of a missing image could not be dropped: {error}"
                    ));
                }
            }
            return Err(format!(
                "the image for this key could not be fetched: {error}"
            ));
        }
    };
    Ok(Image {
        name,
        report: CacheReport {
            result: CacheResult::Exact.into(),
            reasons,
            bytes_fetched,
            seconds: began.elapsed().as_secs_f64(),
            key: entry.key.clone(),
            image_digest: entry.digest.clone(),
            ..CacheReport::default()
        },
        push: PushPlan::unchanged(&entry.digest),
        in_use,
    })
}

/// An image with a key gets the name that it is pushed by.
fn image_name(cx: &Context<'_>, manifest: Option<&KeyManifest>) -> String {
    match (&cx.job.cache, manifest) {
        (Ok(cache), Some(manifest)) => cache.reference.entry(&cx.node.platform, &manifest.key()),
        _ => format!(
            "{}:{}",
            volume_name(&cx.job.attempt.workspace_id),
            cx.job.attempt.attempt
        ),
    }
}

struct Built {
    counts: Counts,
    seconds: f64,
    image_id: String,
}

async fn build(
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
    let (counts, tail) = progress.finish();
    // The CLI's own tail is BuildKit's JSON.
    result
        .map(|()| counts)
        .map_err(|child| ChildFailure { tail, ..child })
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
        .digest(&reference, cx.job.registry_login.as_ref())
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
pub(super) struct BuildProgress<'a> {
    recorder: &'a Recorder,
    output: crate::attempt::OutputSink,
    progress: Progress,
    tail: Tail,
}

impl<'a> BuildProgress<'a> {
    pub(super) fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            output: recorder.output(STEP),
            progress: Progress::default(),
            tail: Tail::default(),
        }
    }

    pub(super) fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => {
                let told = self.progress.line(text);
                self.tell(told);
            }
            Line::Quiet => self.output.flush(),
        }
    }

    /// What was counted, and the last lines of output.
    pub(super) fn finish(mut self) -> (Counts, String) {
        let told = self.progress.close();
        self.tell(told);
        (self.progress.counts(), self.tail.into_text())
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

    fn config(text: &str) -> DevcontainerConfig {
        DevcontainerConfig {
            path: ".devcontainer.json".into(),
            properties: serde_json::from_str(text).unwrap(),
        }
    }

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
    fn an_image_that_nothing_is_added_to_is_used_as_it_is() {
        assert_eq!(
            as_it_is(&config(r#"{"image": "a:1", "features": {}}"#)),
            Some("a:1")
        );
        assert_eq!(
            as_it_is(&config(r#"{"image": "a:1", "features": {"./f": {}}}"#)),
            None
        );
        assert_eq!(as_it_is(&config(r#"{"build": {"dockerfile": "D"}}"#)), None);
        assert_eq!(as_it_is(&config(r#"{"image": "${localEnv:IMAGE}"}"#)), None);
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
