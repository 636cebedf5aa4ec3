//! A Dockerfile's part of the key.

use std::collections::{BTreeMap, BTreeSet};

use hearth_domain::{
    BuildOptions, BuildPlan, ContextSource, Digest, ImageFacts, Input, plan, plan_blindly,
};
use hearth_runtime::blocking;
use oci_spec::distribution::Reference;

use super::{
    context,
    error::KeyError,
    remote::{add_download, image_digest},
    source::{KeySource, Reading, ResolveImage},
    tree::{self, Limits},
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{Build, BuildOption, ClonePath, Effect},
};

/// Largest Dockerfile that is read, in bytes; BuildKit's own limit.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

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
    } = locate(files, build).await?;
    // Arguments count as the plan uses them, and BuildKit's caches change no image.
    let Build {
        dockerfile: _,
        context: _,
        target,
        args: _,
        options,
        cache_from: _,
    } = build;
    let options = counted(options, source)?;
    let plan = planned(&text, source, build, resolver).await?;
    let manifest = &mut reading.manifest;
    manifest.insert(Input::Config, "build.dockerfile", dockerfile.name());
    manifest.insert(Input::Config, "build.context", context.name());
    if let Some(target) = target {
        manifest.insert(Input::Config, "build.target", target);
    }
    if !options.is_empty() {
        manifest.insert(
            Input::Config,
            "build.options",
            serde_json::json!(options).to_string(),
        );
    }
    let instructions = serde_json::json!(plan.instructions).to_string();
    manifest.insert(
        Input::Dockerfile,
        dockerfile.name(),
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

async fn locate(files: &CloneFiles, build: &Build) -> Result<Located, KeyError> {
    let files = files.clone();
    let (dockerfile, context) = (build.dockerfile.clone(), build.context.clone());
    blocking(move || {
        let dockerfile = ClonePath::new(&files, &dockerfile)?;
        let context = ClonePath::new(&files, &context)?;
        let name = &dockerfile.named;
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

/// The options that can change the image, as they go into the key. What steps can use counts by its name.
fn counted(options: &[BuildOption], source: &KeySource<'_>) -> Result<Vec<String>, KeyError> {
    let clone = source.clone.to_string_lossy();
    let mut counted = Vec::new();
    for BuildOption { words, effect } in options {
        match effect {
            Effect::None => {}
            Effect::Text => counted.extend(words.iter().cloned()),
            Effect::Access => {
                let words = words.iter();
                counted.extend(words.map(|word| word.replace(&*clone, "${localWorkspaceFolder}")));
            }
            Effect::Replacement => {
                return Err(KeyError::Unkeyable {
                    what: format!("the build option {}", words.join(" ")),
                    why: "it replaces something that the key is made of".to_owned(),
                });
            }
        }
    }
    Ok(counted)
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
        Ok::<_, KeyError>((tree::values(&files, seen.found, limits)?, seen.careful))
    })
    .await?;
    reading.careful.extend(careful);
    reading.files.extend(values);
    Ok(())
}
