//! A Dockerfile's part of the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hearth_domain::{BuildOptions, BuildPlan, Digest, ImageFacts, Input, plan, plan_blindly};

use super::{
    context,
    error::KeyError,
    inputs::Build,
    remote::{add_download, image_digest},
    source::{KeyReading, KeySource, ResolveImage},
    tree::{self, Limits, blocking},
};

/// Largest Dockerfile that is read, in bytes; BuildKit's own limit.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// So many files are named one by one. The manifest goes with every entry of the cache and must stay a small message.
const MAX_NAMED_FILES: usize = 1000;

/// Enters a Dockerfile and everything that its build depends on.
pub(super) async fn read(
    source: &KeySource<'_>,
    build: &Build,
    resolver: &dyn ResolveImage,
    reading: &mut KeyReading,
) -> Result<(), KeyError> {
    let text = text_of(build)?;
    let plan = planned(&text, source, build, resolver).await?;
    let manifest = &mut reading.manifest;
    manifest.insert(Input::Config, "build.dockerfile", &build.dockerfile.name);
    manifest.insert(Input::Config, "build.context", &build.context.name);
    if let Some(target) = &build.target {
        manifest.insert(Input::Config, "build.target", target);
    }
    if !build.options.is_empty() {
        manifest.insert(
            Input::Config,
            "build.options",
            serde_json::json!(build.options).to_string(),
        );
    }
    let instructions = serde_json::json!(plan.instructions).to_string();
    manifest.insert(
        Input::Dockerfile,
        &build.dockerfile.name,
        Digest::of(instructions).as_str(),
    );
    for (name, value) in &plan.args {
        manifest.insert(Input::BuildArg, name, value);
    }
    reading.careful.extend(plan.careful.iter().cloned());
    images(&plan, resolver, reading).await?;
    for (url, pin) in &plan.remotes {
        add_download(url, pin.as_deref(), resolver, reading).await;
    }
    for what in plan.unpinned {
        reading.manifest.insert(Input::Remote, &what, "unpinned");
        reading.unpinned.push(what);
    }
    files(source, build, plan.context, reading).await
}

fn text_of(build: &Build) -> Result<String, KeyError> {
    let name = Path::new(&build.dockerfile.name);
    let size = build
        .dockerfile
        .full
        .metadata()
        .map_err(|error| tree::unreadable(name, error))?
        .len();
    if size > MAX_BYTES {
        return Err(KeyError::TooMuch {
            limit: format!("a Dockerfile of {MAX_BYTES} bytes"),
        });
    }
    let bytes =
        std::fs::read(&build.dockerfile.full).map_err(|error| tree::unreadable(name, error))?;
    String::from_utf8(bytes).map_err(|error| tree::unreadable(name, error))
}

/// Plans the build, and asks for what base images defer to it as long as the plan needs to know more of them.
async fn planned(
    text: &str,
    source: &KeySource<'_>,
    build: &Build,
    resolver: &dyn ResolveImage,
) -> Result<BuildPlan, KeyError> {
    let options = BuildOptions {
        target: build.target.as_deref(),
        args: &build.args,
        platform: source.platform,
    };
    let mut facts: BTreeMap<String, Option<ImageFacts>> = BTreeMap::new();
    loop {
        let plan = match plan(text, &options, &facts) {
            Ok(plan) => plan,
            Err(error) => {
                return Ok(plan_blindly(
                    text,
                    &options,
                    &format!("the Dockerfile is not understood ({error})"),
                ));
            }
        };
        let foreign = plan
            .frontend
            .as_deref()
            .filter(|frontend| !is_dockers_own(frontend));
        if let Some(frontend) = foreign {
            let why = format!("the frontend {frontend} may see all of it");
            let mut blind = plan_blindly(text, &options, &why);
            blind.images.extend(plan.images);
            blind.frontend = plan.frontend;
            return Ok(blind);
        }
        if plan.missing_facts.is_empty() {
            return Ok(plan);
        }
        for reference in &plan.missing_facts {
            let known =
                resolver
                    .image_facts(reference)
                    .await
                    .map_err(|why| KeyError::Unresolved {
                        reference: reference.clone(),
                        why,
                    })?;
            facts.insert(reference.clone(), known);
        }
    }
}

/// Frontends that read Dockerfiles as this reader does.
fn is_dockers_own(frontend: &str) -> bool {
    let name = frontend.strip_prefix("docker.io/").unwrap_or(frontend);
    let name = name.split([':', '@']).next().unwrap_or_default();
    matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream")
}

async fn images(
    plan: &BuildPlan,
    resolver: &dyn ResolveImage,
    reading: &mut KeyReading,
) -> Result<(), KeyError> {
    for reference in &plan.images {
        let digest = image_digest(reference, resolver).await?;
        reading.manifest.insert(Input::BaseImage, reference, digest);
    }
    let Some(frontend) = &plan.frontend else {
        return Ok(());
    };
    match image_digest(frontend, resolver).await {
        Ok(digest) => reading.manifest.insert(Input::BaseImage, frontend, digest),
        Err(error) if !is_dockers_own(frontend) => return Err(error),
        // Its own versions build the same image from the same text; a build without it would fail by itself.
        Err(_) => reading.manifest.insert(Input::Tool, "frontend", frontend),
    }
    Ok(())
}

async fn files(
    source: &KeySource<'_>,
    build: &Build,
    sources: BTreeSet<hearth_domain::ContextSource>,
    reading: &mut KeyReading,
) -> Result<(), KeyError> {
    let clone = source
        .clone
        .canonicalize()
        .map_err(|error| tree::unreadable(Path::new("."), error))?;
    let (context, dockerfile) = (build.context.clone(), build.dockerfile.full.clone());
    let (values, careful) = blocking(move || {
        let limits = Limits::default();
        let seen = context::see(&clone, &context, &dockerfile, &sources, limits)?;
        Ok((tree::values(seen.found, limits)?, seen.careful))
    })
    .await?;
    reading.careful.extend(careful);
    for (name, value) in folded(values) {
        reading.manifest.insert(Input::File, name, value);
    }
    Ok(())
}

/// The files by name; when there are too many, top-level folders stand for what is in them, and a single entry when
/// even those are too many.
fn folded(values: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if values.len() <= MAX_NAMED_FILES {
        return values;
    }
    let mut groups: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, value) in &values {
        let group = name.split_once('/').map_or(name.as_str(), |(top, _)| top);
        groups
            .entry(group.to_owned())
            .or_default()
            .insert(name.clone(), value.clone());
    }
    if groups.len() > MAX_NAMED_FILES {
        return BTreeMap::from([(
            ".".to_owned(),
            format!("{} entries {}", values.len(), tree::digest(&values)),
        )]);
    }
    groups
        .into_iter()
        .map(|(group, values)| {
            (
                group,
                format!("{} entries {}", values.len(), tree::digest(&values)),
            )
        })
        .collect()
}
