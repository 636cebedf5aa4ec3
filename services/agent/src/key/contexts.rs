//! Contexts beside a build's own (`--build-context NAME=…`, and `additional_contexts` of Docker Compose).
//!
//! BuildKit takes what such a name stands for in the place of an image or a stage of that name. Where it is used is not looked at:
//! all of it counts, and so does the whole context of the build.

use std::collections::BTreeSet;

use hearth_domain::{BuildPlan, ContextSource, ImageFacts, Input};
use hearth_runtime::blocking;

use super::{
    context,
    error::KeyError,
    remote::image_digest,
    source::{Reading, ResolveImage},
    tree,
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{ClonePath, NamedContext},
};

/// The contexts of a build by their names.
#[derive(Debug, Default)]
pub(super) struct Contexts(Vec<(String, NamedContext)>);

impl Contexts {
    /// Adds one. Of several with one name docker takes the last.
    pub fn add(&mut self, name: String, context: NamedContext) {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, context));
    }

    fn named(&self, reference: &str) -> Option<&NamedContext> {
        let reference = familiar(reference);
        let mut named = self.0.iter();
        named
            .find(|(name, _)| familiar(name) == reference)
            .map(|(_, context)| context)
    }

    /// What a build takes from the configuration of what is named like an image.
    pub async fn facts(
        &self,
        reference: &str,
        resolver: &dyn ResolveImage,
    ) -> Result<Option<ImageFacts>, KeyError> {
        let image = match self.named(reference) {
            // A folder has none, and that of a service follows from its key.
            Some(NamedContext::Folder(_) | NamedContext::Service(_)) => {
                return Ok(Some(ImageFacts::default()));
            }
            Some(NamedContext::Image(image)) => image,
            None => reference,
        };
        let facts = resolver.image_facts(image).await;
        facts.map_err(|why| KeyError::Unresolved {
            reference: image.to_owned(),
            why,
        })
    }

    /// The plan of a build that has these contexts.
    pub fn applied_to(&self, mut plan: BuildPlan) -> BuildPlan {
        if !self.0.is_empty() {
            plan.images.retain(|image| self.named(image).is_none());
            plan.context = BTreeSet::from([ContextSource::all()]);
            plan.careful.insert(
                "The whole build context counts, and all of the additional contexts.".to_owned(),
            );
        }
        plan
    }

    /// Enters what they have.
    pub async fn enter(
        &self,
        files: &CloneFiles,
        resolver: &dyn ResolveImage,
        reading: &mut Reading,
    ) -> Result<(), KeyError> {
        for (name, context) in &self.0 {
            let value = match context {
                NamedContext::Folder(folder) => {
                    let folder = {
                        let (files, folder) = (files.clone(), folder.clone());
                        blocking(move || ClonePath::new(&files, &folder)).await?
                    };
                    let name = folder.name();
                    enter_folder(files, folder, reading).await?;
                    name
                }
                NamedContext::Image(image) => {
                    let digest = image_digest(image, resolver).await?;
                    reading.manifest.insert(Input::BaseImage, image, digest);
                    format!("docker-image://{image}")
                }
                NamedContext::Service(key) => key.to_string(),
            };
            let name = format!("build.additional_contexts.{name}");
            reading.manifest.insert(Input::Config, name, value);
        }
        Ok(())
    }
}

async fn enter_folder(
    files: &CloneFiles,
    folder: ClonePath,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let (files, limits) = (files.clone(), reading.limits.clone());
    let all = BTreeSet::from([ContextSource::all()]);
    let (values, careful) = blocking(move || {
        let seen = context::see(&files, &folder, None, &all, &limits)?;
        Ok::<_, KeyError>((tree::values(&files, seen.found, &limits)?, seen.careful))
    })
    .await?;
    reading.careful.extend(careful);
    reading.files.extend(values);
    Ok(())
}

/// The name by which BuildKit compares an image and a context.
fn familiar(name: &str) -> String {
    let name = name.to_lowercase();
    let short = name.strip_prefix("docker.io/").unwrap_or(&name);
    let short = short.strip_prefix("library/").unwrap_or(short);
    short.strip_suffix(":latest").unwrap_or(short).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_takes_the_place_of_an_image_however_it_is_spelled() {
        let mut contexts = Contexts::default();
        contexts.add("Base".to_owned(), NamedContext::Image("a:1".to_owned()));
        let plan = BuildPlan {
            images: ["base", "docker.io/library/base:latest", "base:2", "other"]
                .map(str::to_owned)
                .into(),
            ..BuildPlan::default()
        };
        let plan = contexts.applied_to(plan);
        assert_eq!(plan.images, ["base:2", "other"].map(str::to_owned).into());
        assert_eq!(plan.context, [ContextSource::all()].into());
        let none = Contexts::default().applied_to(BuildPlan::default());
        assert_eq!(none, BuildPlan::default());
    }
}
