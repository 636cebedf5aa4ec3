//! The images of a project that are built: each with a configuration of its own, as if it were the only one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hearth_domain::ServiceName;
use hearth_runtime::blocking;

use super::{judge::Unstarted, model::Project};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{
        Base, Build, BuildGrant, BuildOption, Compose, DevcontainerConfig, Recipe, ServiceBuild,
        Source,
    },
    pipeline::{
        context::{Checkout, Context},
        subject::{OfProject, Subject},
    },
};

/// Largest Dockerfile that is looked into for names of images, in bytes.
const MAX_DOCKERFILE: u64 = 2 * 1024 * 1024;

/// An image that is built.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which one it is.
    pub subject: Subject,
    /// It is the devcontainer's own.
    pub is_own: bool,
    /// Its service runs; otherwise it is there for the builds of others.
    pub runs: bool,
    /// How it is made.
    pub config: DevcontainerConfig,
    /// The services whose images it is built from.
    pub needs: BTreeSet<String>,
}

/// What is built.
#[derive(Debug, Default)]
pub struct Parts {
    /// By their services.
    pub parts: BTreeMap<String, Part>,
    /// Services that Compose builds itself, and why.
    pub left: BTreeMap<String, String>,
}

/// What parts are read from.
struct Reader<'a> {
    cx: &'a Context<'a>,
    clone: &'a Checkout,
    config: &'a DevcontainerConfig,
    compose: &'a Compose,
    project: &'a Project,
    parts: Parts,
}

/// The images that a project builds.
pub async fn parts(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    compose: &Compose,
    project: &Project,
) -> Result<Parts, Unstarted> {
    let mut reader = Reader {
        cx,
        clone,
        config,
        compose,
        project,
        parts: Parts::default(),
    };
    let mut left: Vec<(String, bool)> = project
        .running()
        .map(|service| (service.to_owned(), true))
        .collect();
    while let Some((service, runs)) = left.pop() {
        if reader.parts.parts.contains_key(&service) || reader.parts.left.contains_key(&service) {
            continue;
        }
        let needs = reader.read(&service, runs).await?;
        // What runs is read before it is needed by others.
        let needed = needs.into_iter().map(|service| (service, false));
        left.splice(0..0, needed);
    }
    let parts = reader.parts;
    without_circle(&parts.parts)?;
    Ok(parts)
}

impl Reader<'_> {
    /// Reads the image of a service, if it is built, and returns those that it is built from.
    async fn read(&mut self, service: &str, runs: bool) -> Result<BTreeSet<String>, Unstarted> {
        let is_own = service == self.project.own();
        let mut features = self.compose.features.clone().filter(|_| is_own);
        if let Some(features) = &mut features {
            // The CLI tells the user of the service to install scripts where the configuration names none.
            let user = self.project.user(service);
            features.container_user = features.container_user.take().or(user);
        }
        let mut needs = BTreeSet::new();
        let base = if self.project.is_built(service) {
            match self.build(service).await? {
                Some(build) => Some(Base::Dockerfile(build)),
                None if is_own => {
                    return Err(Unstarted::Build {
                        service: service.to_owned(),
                        why: "the context of the devcontainer's own service is at a URL; name a folder of the repository"
                            .to_owned(),
                    });
                }
                None => {
                    let why = "its build context is at a URL, which no key covers, so Docker Compose builds it";
                    self.parts.left.insert(service.to_owned(), why.to_owned());
                    None
                }
            }
        } else if features.is_some() {
            let builder = self.project.builder_of(service);
            needs.extend(builder.map(str::to_owned));
            self.project.image(service).map(Base::Image)
        } else {
            None
        };
        let Some(base) = base else {
            return Ok(needs);
        };
        let recipe = Recipe {
            base,
            features,
            plain: !is_own,
        };
        let mut config = self.config.of_service(recipe);
        let grant = BuildGrant {
            platform: &self.cx.node.platform,
            allowed: &self.cx.allowed,
        };
        config.grant(&grant);
        if let Some(build) = build_of(&mut config) {
            build.name_left_out(service);
            for left_out in &build.left_out {
                self.cx.recorder.warn(left_out.to_string());
            }
            let services = build.options.iter().filter_map(|option| match option {
                BuildOption::Service { service, .. } => Some(service.clone()),
                _ => None,
            });
            needs.extend(services);
        }
        let unknown = needs.iter().find(|name| !self.project.is_built(name));
        if let Some(unknown) = unknown {
            return Err(Unstarted::Build {
                service: service.to_owned(),
                why: format!(
                    "its context is the image of the service {unknown}, which is not built"
                ),
            });
        }
        let number = self.parts.parts.len();
        // The index takes names that are no longer than real ones.
        let named: Option<ServiceName> = service.parse().ok();
        let subject = Subject {
            of_project: Some(OfProject {
                title: service.to_owned(),
                number,
                service: named.filter(|_| !is_own),
            }),
        };
        let part = Part {
            subject,
            is_own,
            runs,
            config,
            needs: needs.clone(),
        };
        self.parts.parts.insert(service.to_owned(), part);
        Ok(needs)
    }

    /// The build of a service, with the images of others that its Dockerfile names. `None`: Compose makes it.
    async fn build(&self, service: &str) -> Result<Option<Build>, Unstarted> {
        let failed = |why: String| Unstarted::Build {
            service: service.to_owned(),
            why,
        };
        if service.parse::<ServiceName>().is_err() {
            return Ok(None);
        }
        let Some(properties) = self.project.service(service) else {
            return Ok(None);
        };
        let of = ServiceBuild {
            properties,
            secrets: &self.project.secrets(),
            clone: &self.clone.folder,
            platform: &self.cx.node.platform,
        };
        let build = Build::of_service(of, self.project.left_out(service)).map_err(failed)?;
        let Some(mut build) = build else {
            return Ok(None);
        };
        let text = match &build.inline {
            Some(text) => text.clone(),
            None => {
                let (files, path) = (self.clone.files.clone(), build.dockerfile.clone());
                blocking(move || text_of(&files, &path)).await
            }
        };
        for (other, image) in self.project.named_images() {
            let name = image.strip_suffix(":latest").unwrap_or(image);
            if other != service && text.contains(name) {
                let option = BuildOption::service(name.to_owned(), other);
                build.options.push(option);
            }
        }
        Ok(Some(build))
    }
}

/// The text of a Dockerfile; nothing where it cannot be read, which the build tells.
fn text_of(files: &CloneFiles, path: &Path) -> String {
    files.text(path, MAX_DOCKERFILE).unwrap_or_default()
}

/// The build of a part's configuration.
pub fn build_of(config: &mut DevcontainerConfig) -> Option<&mut Build> {
    match &mut config.source {
        Source::Recipe(recipe) => match &mut recipe.base {
            Base::Dockerfile(build) => Some(build),
            Base::Image(_) | Base::Default(_) => None,
        },
        Source::Compose(_) => None,
    }
}

fn without_circle(parts: &BTreeMap<String, Part>) -> Result<(), Unstarted> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = done.len();
        for (name, part) in parts {
            let is_ready =
                |need: &String| done.contains(need.as_str()) || !parts.contains_key(need);
            if part.needs.iter().all(is_ready) {
                done.insert(name);
            }
        }
        if done.len() == parts.len() {
            return Ok(());
        }
        if done.len() == before {
            let stuck: Vec<&str> = parts
                .keys()
                .map(String::as_str)
                .filter(|name| !done.contains(name))
                .collect();
            return Err(Unstarted::Circle(stuck.join(", ")));
        }
    }
}
