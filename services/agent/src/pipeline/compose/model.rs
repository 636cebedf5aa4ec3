//! Which services of a project run, and what each is made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::{Map, Value, json};

use super::judge::{Judged, MAX_SERVICES, Unstarted, is_built, tagged};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{Compose, LeftOut, unescaped_text},
};

/// Files of a project whose configuration names none, as the devcontainer CLI looks for them.
const DEFAULT_FILES: [&str; 2] = ["docker-compose.yml", "docker-compose.override.yml"];

/// The files of the project, relative to the clone.
pub fn files(clone: &CloneFiles, named: &[PathBuf]) -> Vec<PathBuf> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let default = DEFAULT_FILES.map(PathBuf::from).into_iter();
    default.filter(|file| clone.is_there(file)).collect()
}

/// A project, and which of its services run.
#[derive(Debug)]
pub struct Project {
    project: Value,
    /// The service that is the devcontainer.
    own: String,
    /// Those that run, it among them.
    run: BTreeSet<String>,
    /// What images that are built are called in the project, by their services.
    built: BTreeMap<String, String>,
    left_out: BTreeMap<String, Vec<LeftOut>>,
}

impl Project {
    /// The project of a configuration. `active` are the services that Compose runs where none is named.
    pub fn of(
        judged: Judged,
        compose: &Compose,
        active: Option<Vec<String>>,
    ) -> Result<Self, Unstarted> {
        let Judged {
            mut project,
            left_out,
            names,
            warnings: _,
        } = judged;
        let none = Map::new();
        let services = project.get("services").and_then(Value::as_object);
        let services = services.unwrap_or(&none);
        let own = compose.service.clone().unwrap_or_default();
        if !services.contains_key(&own) {
            let there: Vec<&str> = services.keys().take(20).map(String::as_str).collect();
            return Err(Unstarted::NoService {
                named: own,
                there: there.join(", "),
            });
        }
        let by_default = || {
            let without = |service: &Value| service.get("profiles").is_none_or(is_empty);
            let plain = services.iter().filter(|(_, service)| without(service));
            plain.map(|(name, _)| name.clone()).collect()
        };
        let roots: Vec<String> = match compose.run.is_empty() {
            true => active.clone().unwrap_or_else(by_default),
            false => compose.run.clone(),
        };
        let run = with_needed(services, roots.into_iter().chain([own.clone()]));
        if run.len() > MAX_SERVICES {
            return Err(Unstarted::TooMany);
        }
        let image = |service: &Value| service.get("image")?.as_str().map(str::to_owned);
        let called: BTreeMap<&String, &String> =
            names.iter().map(|(name, own)| (own, name)).collect();
        let built = services.iter().filter(|(_, service)| is_built(service));
        let built = built.map(|(name, service)| {
            let image = image(service).unwrap_or_default();
            let called = called.get(&image).map(|called| (*called).clone());
            (name.clone(), called.unwrap_or_default())
        });
        let built = built.collect();
        // What Compose runs by a profile that the repository's `.env` names, it runs without it here.
        for name in active.iter().flatten() {
            if let Some(service) = project["services"][name].as_object_mut() {
                service.remove("profiles");
            }
        }
        Ok(Self {
            project,
            own,
            run,
            built,
            left_out,
        })
    }

    /// The service that is the devcontainer.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The services that run, in the order of their names.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.run.iter().map(String::as_str)
    }

    /// The properties of a service.
    pub fn service(&self, name: &str) -> Option<&Map<String, Value>> {
        self.project.get("services")?.get(name)?.as_object()
    }

    /// Whether an image is built for a service.
    pub fn is_built(&self, service: &str) -> bool {
        self.built.contains_key(service)
    }

    /// Services whose images have names in the project, which Dockerfiles may begin from.
    pub fn named_images(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.built.iter().filter(|(_, called)| !called.is_empty());
        named.map(|(service, called)| (service.as_str(), called.as_str()))
    }

    /// What Compose's own properties are left out of the build of a service.
    pub fn left_out(&self, service: &str) -> Vec<LeftOut> {
        self.left_out.get(service).cloned().unwrap_or_default()
    }

    /// The secrets of the project.
    pub fn secrets(&self) -> Map<String, Value> {
        let secrets = self.project.get("secrets").and_then(Value::as_object);
        secrets.cloned().unwrap_or_default()
    }

    /// The image that a service names and does not build, with its tag.
    pub fn image(&self, service: &str) -> Option<String> {
        let properties = self.service(service)?;
        let image = properties.get("image")?.as_str()?;
        let is_plain = !self.is_built(service) && !image.starts_with('-') && !image.is_empty();
        is_plain.then(|| tagged(&unescaped_text(image)))
    }

    /// The user of a service, if it names one.
    pub fn user(&self, service: &str) -> Option<String> {
        let user = self.service(service)?.get("user")?.as_str()?;
        Some(unescaped_text(user)).filter(|user| !user.is_empty())
    }

    /// The service that builds the image which another one only names.
    pub fn builder_of(&self, service: &str) -> Option<&str> {
        let image = self.service(service)?.get("image")?;
        let named = |of: &str| self.service(of).and_then(|of| of.get("image")) == Some(image);
        let mut built = self.built.keys().map(String::as_str);
        built.find(|of| !self.is_built(service) && named(of))
    }

    /// Makes a service run this image, which the engine has.
    pub fn pin(&mut self, service: &str, image: &str) {
        if let Some(service) = self.project["services"][service].as_object_mut() {
            service.remove("build");
            service.insert("image".to_owned(), json!(image));
            service.insert("pull_policy".to_owned(), json!("never"));
        }
    }

    /// The whole of it, for Compose.
    pub fn into_value(self) -> Value {
        self.project
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Services with those that they need, as Compose starts them. Compose enters what a service needs in other ways, such as by
/// `network_mode` or `volumes_from`, into `depends_on`.
fn with_needed(
    services: &Map<String, Value>,
    roots: impl Iterator<Item = String>,
) -> BTreeSet<String> {
    let mut left: Vec<String> = roots.collect();
    let mut run = BTreeSet::new();
    while let Some(name) = left.pop() {
        let Some(service) = services.get(&name) else {
            continue;
        };
        if run.insert(name) {
            let needed = service.get("depends_on").and_then(Value::as_object);
            left.extend(needed.into_iter().flat_map(Map::keys).cloned());
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn project(
        services: Value,
        run: &[&str],
        active: Option<&[&str]>,
    ) -> Result<Project, Unstarted> {
        let names = [("base:latest".to_owned(), "hearth-ws-1_0".to_owned())];
        let judged = Judged {
            project: json!({ "services": services }),
            warnings: Vec::new(),
            left_out: BTreeMap::new(),
            names: names.into(),
        };
        let compose = Compose {
            files: Vec::new(),
            service: Some("app".to_owned()),
            run: run.iter().map(|name| (*name).to_owned()).collect(),
            features: None,
        };
        let active = active.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Project::of(judged, &compose, active)
    }

    fn services() -> Value {
        json!({
            "app": { "build": { "context": "." }, "depends_on": { "db": {} } },
            "db": { "image": "pg" , "depends_on": { "disk": { "required": false } } },
            "disk": { "image": "hearth-ws-1_0" },
            "base": { "build": {}, "image": "hearth-ws-1_0", "profiles": ["build"] },
            "web": { "image": "nginx:1" },
            "debug": { "image": "x", "profiles": ["debug"] },
        })
    }

    #[test]
    fn what_is_named_runs_with_what_it_needs_and_else_what_has_no_profile() {
        let run = |run: &[&str], active: Option<&[&str]>| {
            let project = project(services(), run, active).unwrap();
            let names: Vec<_> = project.running().map(str::to_owned).collect();
            names.join(" ")
        };
        assert_eq!(run(&[], None), "app db disk web");
        assert_eq!(run(&["web"], None), "app db disk web");
        assert_eq!(run(&["db"], None), "app db disk");
        assert_eq!(run(&[], Some(&["app", "debug"])), "app db debug disk");
    }

    #[test]
    fn a_service_with_a_profile_that_is_active_is_started_without_it() {
        let project = project(services(), &[], Some(&["app", "debug"])).unwrap();
        assert_eq!(project.service("debug").unwrap().get("profiles"), None);
        assert!(project.service("base").unwrap().contains_key("profiles"));
    }

    #[test]
    fn an_image_is_pulled_unless_another_service_builds_it() {
        let project = project(services(), &[], None).unwrap();
        assert_eq!(project.image("db").as_deref(), Some("pg:latest"));
        assert_eq!(project.image("web").as_deref(), Some("nginx:1"));
        assert_eq!(project.image("app"), None);
        assert_eq!(project.builder_of("disk"), Some("base"));
        assert_eq!(project.builder_of("db"), None);
        let named: Vec<_> = project.named_images().collect();
        assert_eq!(named, [("base", "base:latest")]);
    }

    #[test]
    fn a_pinned_service_runs_that_image_and_compose_builds_and_pulls_nothing() {
        let mut project = project(services(), &[], None).unwrap();
        project.pin("app", "r/a@sha256:d");
        let expected =
            json!({ "image": "r/a@sha256:d", "pull_policy": "never", "depends_on": { "db": {} } });
        assert_eq!(project.into_value()["services"]["app"], expected);
    }

    #[test]
    fn a_service_that_is_not_there_is_refused_with_those_that_are() {
        let error = project(json!({ "a": {}, "b": {} }), &[], None).unwrap_err();
        assert!(error.to_string().contains("no service \"app\""), "{error}");
        assert!(error.to_string().ends_with("a, b"), "{error}");
    }

    #[test]
    fn a_project_that_names_no_files_has_the_usual_ones() {
        let clone = tempfile::tempdir().unwrap();
        fs::write(clone.path().join("docker-compose.yml"), "").unwrap();
        let clone = CloneFiles::open(clone.path()).unwrap();
        assert_eq!(files(&clone, &[]), [Path::new("docker-compose.yml")]);
        assert_eq!(files(&clone, &["a.yml".into()]), [Path::new("a.yml")]);
    }
}
