//! The way of a project, from its files to what is started.

use std::{collections::BTreeMap, time::Instant};

use futures_util::future::join_all;
use hearth_api::v1::{CacheReport, Failure, FailureReason, PipelineStep, TransferDirection};
use hearth_layers::Transfer;
use hearth_runtime::blocking;

use super::{
    images::{Images, Obtained, keys},
    judge::{Rules, Unstarted, ssh_of_build, write_inline_dockerfiles},
    model::{Project, files},
    parts::{Part, Parts, parts},
    pulls::{self, Pulled},
    report::{Outcome, sum},
    transfers::Transfers,
};
use crate::{
    devcontainer::{Compose, DevcontainerConfig},
    disk::ImageUse,
    external::engine::volume_name,
    pipeline::{
        audit,
        beside::Beside,
        context::{Checkout, Context},
        failure::failure,
        prefetch::Prefetch,
        push::Plans,
        rebuild::KeptSources,
        resolve::Hit,
        sources::limit_sources,
        subject::Subject,
        up,
    },
};

const STEP: PipelineStep = PipelineStep::Image;

/// A project that can be started.
pub struct Made<'a> {
    /// What Compose starts.
    pub project: String,
    /// The image of the devcontainer's own service, if the engine has it.
    pub image: Option<String>,
    /// The cache's part in it.
    pub report: CacheReport,
    /// Audits of exact hits.
    pub audit: Beside<'a, ()>,
    /// Keeps the images until the containers are there.
    pub in_use: Vec<ImageUse>,
}

/// Obtains the images of a configuration's project. Those that are built are pushed by `plans` as soon as they are there.
pub async fn make<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    (config, compose): (&DevcontainerConfig, &Compose),
    prefetch: &mut Prefetch<'a>,
    plans: Plans,
) -> Result<Made<'a>, Failure> {
    let read = prefetch.alongside(read(cx, clone, config, compose)).await;
    let mut project = read?;
    let unstarted = |error: Unstarted| failure(FailureReason::ContainerFailed, STEP, error);
    let parts = parts(cx, clone, config, compose, &project).await;
    let Parts { mut parts, left } = parts.map_err(unstarted)?;
    let began = Instant::now();
    let keys = prefetch.alongside(keys(cx, clone, &mut parts)).await;
    let kept = KeptSources::default();
    let transfers = Transfers::new(cx.recorder.transfer(TransferDirection::Fetch));
    let images = Images::new(
        cx,
        clone,
        (&parts, keys),
        std::mem::take(prefetch),
        (&kept, plans),
        &transfers,
    );
    let named = named_only(&project);
    let what = format!(
        "obtains {} images, and fetches {} that are only named",
        parts.values().filter(|part| part.runs).count(),
        named.len()
    );
    let pulled = cx.recorder.step(STEP, what, async {
        let pulled = async { Ok(pull_all(cx, &named, &transfers).await) };
        let (pulled, ()) = tokio::try_join!(pulled, images.make_all())?;
        Ok::<_, Failure>(pulled)
    });
    let pulled = pulled.await?;
    let (made, same) = images.into_made();
    // For what Compose builds itself.
    limit_sources(cx).await?;
    let own = project.own().to_owned();
    // Of each service, the one that builds what it runs: found before the first of them has another image.
    let builders: Vec<(String, String)> = project
        .running()
        .map(|service| {
            let builder = project.builder_of(service).unwrap_or(service);
            (service.to_owned(), builder.to_owned())
        })
        .collect();
    let mut own_image = None;
    for (service, builder) in &builders {
        // Features make an image of its own of what another service builds.
        let of = [service, builder]
            .map(|of| same.get(of).unwrap_or(of))
            .into_iter()
            .find_map(|of| made.get(of));
        let image = of.map(|made| &made.name);
        let image = image.or_else(|| pulled.get(service).map(|pulled| &pulled.name));
        if let Some(image) = image {
            project.pin(service, image);
        }
        if *service == own {
            own_image = image.cloned();
        }
    }
    let bytes = pulled.values().map(|pulled| pulled.bytes).sum();
    let mut in_use: Vec<ImageUse> = pulled.into_values().map(|pulled| pulled.in_use).collect();
    let (mut outcomes, mut hits) = (Vec::new(), Vec::new());
    for (service, image) in made {
        let Obtained {
            report,
            hit,
            in_use: used,
            ..
        } = image;
        in_use.push(used);
        let Some(part) = parts.get(&service) else {
            continue;
        };
        hits.extend(hit.map(|hit| (part.clone(), hit)));
        outcomes.push(Outcome {
            service,
            is_own: part.is_own,
            report: Some(report),
            reasons: Vec::new(),
        });
    }
    outcomes.extend(left.into_iter().map(|(service, why)| Outcome {
        service,
        is_own: false,
        report: None,
        reasons: vec![why],
    }));
    let report = sum(outcomes, bytes, began.elapsed().as_secs_f64());
    let mut project = project.into_value();
    write_inline_dockerfiles(&mut project, cx.scratch.path()).map_err(|error| {
        let why = format!("a Dockerfile of the Compose project cannot be written: {error}");
        failure(FailureReason::Internal, STEP, why)
    })?;
    Ok(Made {
        project: project.to_string(),
        image: own_image,
        report,
        audit: audits(cx, clone, hits, &kept).await,
        in_use,
    })
}

/// Reads the project of a configuration.
async fn read(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    compose: &Compose,
) -> Result<Project, Failure> {
    let (of_clone, named) = (clone.files.clone(), compose.files.clone());
    let files = blocking(move || files(&of_clone, &named)).await;
    let files: Vec<_> = files.iter().map(|file| clone.folder.join(file)).collect();
    let path = clone.folder.join(&config.path);
    let workspace = cx.cli_workspace(&clone.folder, &path);
    let read =
        cx.externals
            .devcontainer
            .compose_project(&workspace, &files, compose.run.is_empty());
    let read = read
        .await
        .map_err(|child| child.without_folders(&[&clone.folder, cx.scratch.path()]))
        .map_err(up::failed)?;
    let rules = Rules {
        own: &volume_name(&cx.job.attempt.workspace),
        allowed: &cx.allowed,
        cache_mounts: &cx.job.cache_mounts,
        clone: (&clone.folder, &clone.files),
    };
    let unstarted = |error: Unstarted| failure(FailureReason::ContainerFailed, STEP, error);
    let mut judged = rules.judge(&read.model).map_err(unstarted)?;
    for service in &read.without_keys {
        let left_out = judged.left_out.entry(service.clone()).or_default();
        left_out.push(ssh_of_build(service));
    }
    for warning in &judged.warnings {
        cx.recorder.warn(warning.as_str());
    }
    Project::of(judged, compose, read.active).map_err(unstarted)
}

/// The images that services which run only name, by the services; each is fetched once.
fn named_only(project: &Project) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in project.running() {
        let property = |name: &str| project.service(service).and_then(|of| of.get(name));
        let stays = property("pull_policy").is_some_and(|policy| *policy == "never");
        // Compose chooses among the images of several platforms.
        let has_platform = property("platform").is_some_and(|platform| !platform.is_null());
        if let Some(image) = project.image(service)
            && project.builder_of(service).is_none()
            && !stays
            && !has_platform
        {
            named.entry(image).or_default().push(service.to_owned());
        }
    }
    named
}

/// Fetches them at the same time. By their services.
async fn pull_all<F: Fn(Transfer) + Send + Sync>(
    cx: &Context<'_>,
    named: &BTreeMap<String, Vec<String>>,
    transfers: &Transfers<F>,
) -> BTreeMap<String, Pulled> {
    let pulls = named.iter().map(|(image, services)| async move {
        let progress = transfers.one();
        let pulled = pulls::fetch(cx, image, &progress).await?;
        let others = services.iter().skip(1).map(|service| {
            let also = Pulled {
                name: pulled.name.clone(),
                bytes: 0,
                in_use: cx.node.images.enter(&pulled.name),
            };
            (service.clone(), also)
        });
        let mut all: Vec<(String, Pulled)> = others.collect();
        all.extend(services.first().map(|first| (first.clone(), pulled)));
        Some(all)
    });
    let pulled = join_all(pulls).await;
    pulled.into_iter().flatten().flatten().collect()
}

/// The audits of exact hits, one after the other.
async fn audits<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    hits: Vec<(Part, Hit)>,
    kept: &KeptSources,
) -> Beside<'a, ()> {
    let mut all = Vec::new();
    for (part, hit) in hits {
        let Part {
            subject,
            config,
            needs,
            ..
        } = part;
        // Images that it is built from are not there after a hit.
        if needs.is_empty() {
            let subject: Subject = subject;
            let audit = audit::prepare(cx, clone, &config, hit, subject, kept).await;
            if audit.is_there() {
                all.push(audit);
            }
        }
    }
    if all.is_empty() {
        return Beside::default();
    }
    Beside::new(async move {
        for mut audit in all {
            audit.finish().await;
        }
    })
}
