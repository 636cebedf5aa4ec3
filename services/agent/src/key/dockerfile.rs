//! A Dockerfile's part of the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use hearth_domain::{
    BuildOptions, BuildPlan, ContextSource, Digest, ImageFacts, Input, Platform, as_built, plan,
    plan_blindly,
};
use hearth_runtime::blocking;
use oci_spec::distribution::Reference;

use super::{
    context,
    contexts::Contexts,
    error::KeyError,
    remote::{add_download, image_digest},
    source::{KeySource, Reading, ResolveImage},
    tree,
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{Build, BuildOption, ClonePath, Keyed, LeftOut},
};

/// What stands for the name of a Dockerfile whose text is in a Compose file.
const INLINE: &str = "dockerfile_inline";
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
        options,
        always,
        contexts,
    } = locate(files, build).await?;
    // Arguments count as the plan uses them.
    let Build {
        dockerfile: _,
        inline: _,
        context: _,
        target,
        args: _,
        options: _,
        left_out: _,
    } = build;
    let is_last = target.is_some() && *target == stage_of(&text);
    let plan = planned(text, source, build, &contexts, resolver).await?;
    let manifest = &mut reading.manifest;
    let name = dockerfile
        .as_ref()
        .map_or_else(|| INLINE.to_owned(), ClonePath::name);
    manifest.insert(Input::Config, "build.dockerfile", &name);
    manifest.insert(Input::Config, "build.context", context.name());
    if let Some(target) = target.as_ref().filter(|_| !is_last) {
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
    manifest.insert(Input::Dockerfile, &name, Digest::of(instructions).as_str());
    for (name, value) in &plan.args {
        manifest.insert(Input::BuildArg, name, value);
    }
    reading.careful.extend(plan.careful.iter().cloned());
    let defers = |instruction: &String| instruction.contains("ONBUILD");
    reading.defers = plan.instructions.iter().any(defers);
    images(&plan, resolver, reading).await?;
    contexts.enter(files, resolver, reading).await?;
    for (url, pin) in &plan.remotes {
        add_download(url, pin.as_deref(), reading);
    }
    for what in plan.unpinned.into_iter().chain(always) {
        reading.manifest.insert(Input::Remote, &what, "unpinned");
        reading.unpinned.push(what);
    }
    add_context(files, context, dockerfile, plan.context, reading).await
}

/// A Dockerfile and its context in the clone.
struct Located {
    /// `None`: its text is in a Compose file.
    dockerfile: Option<ClonePath>,
    context: ClonePath,
    text: String,
    options: Vec<String>,
    /// Options by which a build is asked for every time.
    always: Vec<String>,
    /// Contexts beside its own.
    contexts: Contexts,
}

async fn locate(files: &CloneFiles, build: &Build) -> Result<Located, KeyError> {
    let files = files.clone();
    let build = build.clone();
    blocking(move || {
        let (options, always, contexts) = counted(&files, &build)?;
        let context = ClonePath::new(&files, &build.context)?;
        let (dockerfile, text) = match &build.inline {
            Some(text) => (None, text.clone()),
            None => {
                let dockerfile = ClonePath::new(&files, &build.dockerfile)?;
                let name = &dockerfile.named;
                let bytes = files
                    .read(&dockerfile.real, MAX_BYTES)
                    .map_err(|error| KeyError::reading(name, error))?;
                let text = String::from_utf8(bytes).map_err(|error| KeyError::file(name, error))?;
                (Some(dockerfile), text)
            }
        };
        Ok(Located {
            dockerfile,
            context,
            text,
            options,
            always,
            contexts,
        })
    })
    .await
}

/// The options that can change the image, as they go into the key, those that ask for a build every time, and contexts.
fn counted(
    files: &CloneFiles,
    build: &Build,
) -> Result<(Vec<String>, Vec<String>, Contexts), KeyError> {
    let unkeyable = |what: String, why: String| Err(KeyError::Unkeyable { what, why });
    if let Some(LeftOut { what, why, .. }) = build.left_out.iter().find(|left| left.shapes) {
        return unkeyable(what.clone(), format!("it is left out: {why}"));
    }
    let (mut counted, mut always) = (Vec::new(), Vec::new());
    let mut contexts = Contexts::default();
    for option in &build.options {
        // A step with a secret is in BuildKit's cache whatever the secret is: whoever writes the file could shape the image.
        let mut secret = String::new();
        let mut keep = |content: Vec<u8>| {
            secret.push_str(&format!(" {}", Digest::of(content)));
            Ok(PathBuf::new())
        };
        // What cannot be used is left out of the build too. An image of another service may not be there yet.
        let is_image = matches!(option, BuildOption::Service { .. });
        if !is_image
            && let Err(LeftOut { what, why, .. }) = option.word(files, Path::new(""), &mut keep)
        {
            return unkeyable(what, format!("it is left out: {why}"));
        }
        match option.keyed() {
            Keyed::Text(text) => counted.push(text + &secret),
            Keyed::Always => always.push(format!(
                "the build option {}, which asks for a build every time",
                option.name()
            )),
            Keyed::Nothing => {}
            Keyed::Context(name, context) => contexts.add(name, context),
            Keyed::Not => {
                let what = format!("the build option {}", option.name());
                let why = "it replaces something that the key is made of".to_owned();
                return unkeyable(what, why);
            }
        }
    }
    // Those of one name keep their order, and names have none.
    let name = |option: &String| option.split('=').next().map(str::to_owned);
    counted.sort_by_key(name);
    Ok((counted, always, contexts))
}

/// The stage that the CLI builds upon where no target is named.
fn stage_of(text: &str) -> Option<String> {
    as_built(text, None).ok().map(|built| built.arg.1)
}

/// Plans the build. Asks for the configurations of base images as long as the plan depends on more of them.
async fn planned(
    text: String,
    source: &KeySource<'_>,
    build: &Build,
    contexts: &Contexts,
    resolver: &dyn ResolveImage,
) -> Result<BuildPlan, KeyError> {
    let text = Arc::new(text);
    let mut facts: Arc<BTreeMap<String, Option<ImageFacts>>> = Arc::default();
    loop {
        let (target, args) = (build.target.clone(), build.args.clone());
        let (platform, text, known) = (source.platform.clone(), text.clone(), facts.clone());
        let recipe = source.config.recipe();
        let by = match recipe {
            Some(recipe) if recipe.plain => By::Docker,
            Some(recipe) if recipe.features.is_some() => By::CliWithFeatures,
            _ => By::Cli,
        };
        let plan = blocking(move || {
            plan_or_count_all(&text, target.as_deref(), args, &platform, by, &known)
        });
        let plan = plan.await;
        if plan.missing_facts.is_empty() {
            return Ok(contexts.applied_to(plan));
        }
        for reference in &plan.missing_facts {
            let known = contexts.facts(reference, resolver).await?;
            Arc::make_mut(&mut facts).insert(reference.clone(), known);
        }
    }
}

/// What builds an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Cli,
    CliWithFeatures,
    Docker,
}

/// The plan of what is built; one that has everything where the Dockerfile is not understood, or is read
/// by another frontend.
fn plan_or_count_all(
    text: &str,
    target: Option<&str>,
    mut args: BTreeMap<String, String>,
    platform: &Platform,
    by: By,
    facts: &BTreeMap<String, Option<ImageFacts>>,
) -> BuildPlan {
    let given = args.clone();
    let options = |target, args| BuildOptions {
        target,
        args,
        platform: platform.as_str(),
    };
    let planned = match by {
        By::Docker => plan(text, &options(target, &given), facts),
        By::Cli | By::CliWithFeatures => as_built(text, target).and_then(|built| {
            let (name, stage) = built.arg.clone();
            args.insert(name.to_owned(), stage);
            let mut plan = plan(&built.text, &options(Some(built.target), &args), facts)?;
            // Instructions have the stage by its number.
            if !text.contains(name) {
                plan.args.remove(name);
            }
            if by == By::CliWithFeatures && !built.read_by_cli.is_empty() {
                plan.instructions.extend(built.read_by_cli);
                plan.args.extend(given.clone());
            }
            Ok(plan)
        }),
    };
    let options = options(target, &given);
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            let why = format!("the Dockerfile is not understood ({error})");
            return plan_blindly(text, &options, &why);
        }
    };
    let is_foreign = |frontend: &&str| !is_dockers_own(frontend);
    let Some(frontend) = plan.frontend.as_deref().filter(is_foreign) else {
        return plan;
    };
    let why = format!("the frontend {frontend} may see all of it");
    let mut blind = plan_blindly(text, &options, &why);
    blind.images.extend(plan.images);
    blind.frontend = plan.frontend;
    blind
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
    let mut unresolved = None;
    for reference in &plan.images {
        // All of them are asked for: whoever resolves them wants to know what a build uses.
        match image_digest(reference, resolver).await {
            Ok(digest) => reading.manifest.insert(Input::BaseImage, reference, digest),
            Err(error) => unresolved = unresolved.or(Some(error)),
        }
    }
    if let Some(error) = unresolved {
        return Err(error);
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
    dockerfile: Option<ClonePath>,
    sources: BTreeSet<ContextSource>,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let (files, limits) = (files.clone(), reading.limits.clone());
    let (values, careful) = blocking(move || {
        let seen = context::see(&files, &context, dockerfile.as_ref(), &sources, &limits)?;
        Ok::<_, KeyError>((tree::values(&files, seen.found, &limits)?, seen.careful))
    })
    .await?;
    reading.careful.extend(careful);
    reading.files.extend(values);
    Ok(())
}
