//! A Dockerfile's part of the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hearth_domain::{
    BuildOptions, BuildPlan, ContextSource, Digest, ImageFacts, Input, plan, plan_blindly,
};
use hearth_runtime::blocking;
use oci_spec::distribution::Reference;

use super::{
    clone_path::ClonePath,
    context,
    error::KeyError,
    inputs::{Build, config_folder},
    remote::{add_download, image_digest},
    source::{KeySource, Reading, ResolveImage},
    tree::{self, Limits},
};
use crate::clone_files::CloneFiles;

/// Largest Dockerfile that is read, in bytes; BuildKit's own limit.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// At most this many files are named one by one. The manifest is part of every cache entry and must stay a small message.
const MAX_NAMED_FILES: usize = 1000;

/// Enters a Dockerfile and everything that its build depends on.
pub(super) async fn read(
    source: &KeySource<'_>,
    files: &CloneFiles,
    build: &Build,
    resolver: &dyn ResolveImage,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let Located {
        dockerfile,
        context,
        text,
    } = locate(source, files, build).await?;
    let plan = planned(&text, source, build, resolver).await?;
    let manifest = &mut reading.manifest;
    manifest.insert(Input::Config, "build.dockerfile", &dockerfile.name);
    manifest.insert(Input::Config, "build.context", &context.name);
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
        &dockerfile.name,
        Digest::of(instructions).as_str(),
    );
    for (name, value) in &plan.args {
        manifest.insert(Input::BuildArg, name, value);
    }
    reading.careful.extend(plan.careful.iter().cloned());
    images(&plan, resolver, reading).await?;
    for (url, pin) in &plan.remotes {
        add_download(url, pin.as_deref(), reading);
    }
    for what in plan.unpinned {
        reading.manifest.insert(Input::Remote, &what, "unpinned");
        reading.unpinned.push(what);
    }
    add_context(files, context, dockerfile, plan.context, reading).await
}

/// A Dockerfile and its context in the clone.
struct Located {
    dockerfile: ClonePath,
    context: ClonePath,
    text: String,
}

async fn locate(
    source: &KeySource<'_>,
    files: &CloneFiles,
    build: &Build,
) -> Result<Located, KeyError> {
    let (files, folder) = (files.clone(), config_folder(source).to_owned());
    let Build {
        dockerfile,
        context,
        ..
    } = build.clone();
    blocking(move || {
        let dockerfile = ClonePath::new(&files, &folder, &dockerfile)?;
        let context = ClonePath::new(&files, &folder, &context)?;
        let name = Path::new(&dockerfile.name);
        let bytes = files
            .read(&dockerfile.real, MAX_BYTES)
            .map_err(|error| KeyError::reading(name, error))?;
        let text = String::from_utf8(bytes).map_err(|error| KeyError::file(name, error))?;
        Ok(Located {
            dockerfile,
            context,
            text,
        })
    })
    .await
}

/// Plans the build. Asks for the configurations of base images as long as the plan depends on more of them.
async fn planned(
    text: &str,
    source: &KeySource<'_>,
    build: &Build,
    resolver: &dyn ResolveImage,
) -> Result<BuildPlan, KeyError> {
    let options = BuildOptions {
        target: build.target.as_deref(),
        args: &build.args,
        platform: source.platform.as_str(),
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

/// Frontends that read Dockerfiles as hearth's reader does.
fn is_dockers_own(frontend: &str) -> bool {
    frontend.parse().is_ok_and(|frontend: Reference| {
        frontend.registry() == "docker.io"
            && matches!(
                frontend.repository(),
                "docker/dockerfile" | "docker/dockerfile-upstream"
            )
    })
}

async fn images(
    plan: &BuildPlan,
    resolver: &dyn ResolveImage,
    reading: &mut Reading,
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
        // All its versions build the same image from the same text. If it cannot be fetched, the build fails.
        Err(_) => reading.manifest.insert(Input::Tool, "frontend", frontend),
    }
    Ok(())
}

async fn add_context(
    files: &CloneFiles,
    context: ClonePath,
    dockerfile: ClonePath,
    sources: BTreeSet<ContextSource>,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let files = files.clone();
    let (values, careful) = blocking(move || {
        let limits = Limits::default();
        let seen = context::see(&files, &context, &dockerfile, &sources, limits)?;
        Ok((tree::values(&files, seen.found, limits)?, seen.careful))
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
