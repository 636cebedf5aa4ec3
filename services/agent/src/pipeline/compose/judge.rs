//! A Compose project as it may be started: what it builds has names of the workspace's own.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde_json::{Map, Value, json};

use super::files::{self, LeftOutOfBuilds};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{CACHE_MOUNTS, CACHE_SOURCE, LeftOut},
    policy::{Allowed, Door},
};

/// A project that is not started.
#[derive(Debug, thiserror::Error)]
pub enum Unstarted {
    /// What Compose makes of it is too large.
    #[error("the Compose project cannot be read; it may be larger than 1 MiB")]
    Unread,
    /// Compose would run a program of the node.
    #[error(
        "the service {0} has a provider, which is a program of the node: hearth runs none; give the service an image or a build"
    )]
    Provider(String),
    /// The configuration names none of its services.
    #[error(
        "the Compose project has no service {named:?}, which devcontainer.json names: it has {there}"
    )]
    NoService {
        /// What it names.
        named: String,
        /// What there is.
        there: String,
    },
    /// It has more than any real one.
    #[error("the Compose project runs more than {MAX_SERVICES} services")]
    TooMany,
    /// Services are built from each other.
    #[error("services of the Compose project are built from each other in a circle: {0}")]
    Circle(String),
    /// A build that nobody can make.
    #[error("the service {service} cannot be built: {why}")]
    Build {
        /// The service.
        service: String,
        /// What is wrong.
        why: String,
    },
}

/// Most services that a project may run. Real ones have a dozen.
pub const MAX_SERVICES: usize = 100;

/// A project as it may be started.
#[derive(Debug)]
pub struct Judged {
    /// What Compose reads.
    pub project: Value,
    /// What is left out of services.
    pub warnings: Vec<String>,
    /// What is left out of their builds.
    pub left_out: LeftOutOfBuilds,
    /// What images that are built are called in the project, and the workspace's own names for them.
    pub names: BTreeMap<String, String>,
}

/// Puts Dockerfiles that are in the project itself into files of `folder`: the devcontainer CLI looks for a file.
pub(super) fn write_inline_dockerfiles(project: &mut Value, folder: &Path) -> io::Result<()> {
    let services = project.get_mut("services").and_then(Value::as_object_mut);
    let services = services.into_iter().flat_map(Map::values_mut);
    let builds = services.filter_map(|service| service.get_mut("build")?.as_object_mut());
    for (number, build) in builds.enumerate() {
        if let Some(Value::String(text)) = build.remove("dockerfile_inline") {
            let file = folder.join(format!("compose-dockerfile-{number}"));
            fs::write(&file, text)?;
            build.insert("dockerfile".to_owned(), json!(file));
        }
    }
    Ok(())
}

/// What a project is judged by.
pub struct Rules<'a> {
    /// The beginning of the names of the workspace's images.
    pub own: &'a str,
    /// What the attempt may ask of the node.
    pub allowed: &'a Allowed,
    /// The namespace of cache mounts.
    pub cache_mounts: &'a str,
    /// The clone, by its folder on the node and its files.
    pub clone: (&'a Path, &'a CloneFiles),
}

impl Rules<'_> {
    /// The project as it may be started, and what is left out of it.
    ///
    /// An image that is built here must not take the place of another one on the node, such as a base image, by its name.
    pub fn judge(&self, project: &str) -> Result<Judged, Unstarted> {
        let mut project: Value = serde_json::from_str(project).map_err(|_| Unstarted::Unread)?;
        let (warnings, mut left_out) = files::leave_out_unusable(&mut project, self.clone);
        let mut names = BTreeMap::new();
        if let Some(services) = project.get_mut("services").and_then(Value::as_object_mut) {
            let built = services.values().filter(|service| is_built(service));
            let numbered = built
                .filter_map(image_of)
                .enumerate()
                .map(|(number, image)| (image, format!("{}_{number}", self.own)));
            names = numbered.collect();
            for (name, service) in services {
                if service.get("provider").is_some() {
                    return Err(Unstarted::Provider(name.clone()));
                }
                if let Some(own) = image_of(service).and_then(|image| names.get(&image)) {
                    service["image"] = json!(own);
                }
                if let Some(build) = service.get_mut("build").and_then(Value::as_object_mut) {
                    let left = self.judge_build(name, build);
                    left_out.entry(name.clone()).or_default().extend(left);
                }
            }
        }
        Ok(Judged {
            project,
            warnings,
            left_out,
            names,
        })
    }

    fn judge_build(&self, service: &str, build: &mut Map<String, Value>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        // More names, and caches at places that the repository names.
        for property in ["tags", "cache_to"] {
            build.remove(property);
        }
        if build.remove("ssh").is_some() {
            left_out.push(ssh_of_build(service));
        }
        if build.remove("cache_from").is_some() {
            left_out.push(LeftOut {
                what: format!("cache_from of the build of {service}"),
                why: CACHE_SOURCE.to_owned(),
                shapes: false,
            });
        }
        let asks = |property: &str, value: &Value| match property {
            "network" => value == "host",
            "privileged" => value == true,
            // With them, a step asks for the node's network by itself.
            _ => value.as_array().is_some_and(|rights| !rights.is_empty()),
        };
        for (property, door) in [
            ("network", Door::HostNetwork),
            ("privileged", Door::Privileged),
            ("entitlements", Door::Privileged),
        ] {
            let asked = build
                .get(property)
                .is_some_and(|value| asks(property, value));
            if asked && !self.allowed.is_open(&door) {
                left_out.push(LeftOut {
                    what: format!("the property {property} of the build of {service}"),
                    why: self.allowed.why_closed(&door),
                    shapes: true,
                });
                build.remove(property);
            }
        }
        // Steps of others must not see, or leave anything in, the cache mounts of these.
        let args = build.entry("args").or_insert_with(|| json!({}));
        if !args.is_object() {
            *args = json!({});
        }
        args[CACHE_MOUNTS] = json!(self.cache_mounts);
        left_out
    }
}

/// What is left out of a build that asks for keys.
pub fn ssh_of_build(service: &str) -> LeftOut {
    LeftOut {
        what: format!("ssh of the build of {service}"),
        why: "the node's agent and keys are not the repository's".to_owned(),
        shapes: true,
    }
}

pub(super) fn is_built(service: &Value) -> bool {
    service.get("build").is_some_and(|build| !build.is_null())
}

fn image_of(service: &Value) -> Option<String> {
    service.get("image").and_then(Value::as_str).map(tagged)
}

/// The name of an image with its tag.
pub(super) fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{HostAccess, Policy};

    /// The project, and all that is left out.
    fn judged(host_access: HostAccess, project: &Value) -> Result<(Value, Vec<String>), Unstarted> {
        let open_doors = [].into();
        let allowed = Policy {
            host_access,
            open_doors,
        }
        .allow(false, None);
        let clone = tempfile::tempdir().unwrap();
        let rules = Rules {
            own: "hearth-ws-1",
            allowed: &allowed,
            cache_mounts: "ns",
            clone: (clone.path(), &CloneFiles::open(clone.path()).unwrap()),
        };
        let judged = rules.judge(&project.to_string())?;
        let of_builds = judged.left_out.values().flatten().map(LeftOut::to_string);
        let warnings = judged.warnings.into_iter().chain(of_builds).collect();
        Ok((judged.project, warnings))
    }

    #[test]
    fn what_is_built_gets_a_name_of_the_workspaces_where_it_is_used_too() {
        let project = json!({ "name": "p", "services": {
            "app": { "build": { "context": ".", "tags": ["debian:13"], "cache_to": ["x"] }, "image": "debian:12" },
            "again": { "image": "debian:12" },
            "plain": { "image": "debian:11" },
            "unnamed": { "build": { "context": ".", "args": { "BUILDKIT_CACHE_MOUNT_NS": "theirs", "A": "1" } } },
            "web": { "build": { "context": "." }, "image": "r:5/web" },
            "tests": { "image": "r:5/web:latest" },
        } });
        let args = json!({ "BUILDKIT_CACHE_MOUNT_NS": "ns" });
        let expected = json!({ "name": "p", "services": {
            "app": { "build": { "context": ".", "args": args }, "image": "hearth-ws-1_0" },
            "again": { "image": "hearth-ws-1_0" },
            "plain": { "image": "debian:11" },
            "unnamed": { "build": { "context": ".", "args": { "BUILDKIT_CACHE_MOUNT_NS": "ns", "A": "1" } } },
            "web": { "build": { "context": ".", "args": args }, "image": "hearth-ws-1_1" },
            "tests": { "image": "hearth-ws-1_1" },
        } });
        assert_eq!(
            judged(HostAccess::Never, &project).unwrap(),
            (expected, Vec::new())
        );
    }

    #[test]
    fn a_build_is_in_the_nodes_network_and_privileged_only_where_that_is_open() {
        for (property, value) in [
            ("network", json!("host")),
            ("privileged", json!(true)),
            ("entitlements", json!(["network.host"])),
        ] {
            let mut project = json!({ "services": { "app": { "build": { "context": "." } } } });
            project["services"]["app"]["build"][property] = value.clone();
            let (made, warnings) = judged(HostAccess::Never, &project).unwrap();
            assert_eq!(made["services"]["app"]["build"].get(property), None);
            let begins = format!("the property {property} of the build of app is left out");
            assert!(warnings[0].starts_with(&begins), "{warnings:?}");
            let (made, warnings) = judged(HostAccess::Always, &project).unwrap();
            assert_eq!(made["services"]["app"]["build"][property], value);
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn keys_and_caches_are_left_out_of_a_build() {
        let build = json!({ "context": ".", "ssh": ["default"], "cache_from": ["r:5/own:devcontainer-cache"] });
        let project = json!({ "services": { "app": { "build": build } } });
        let (made, warnings) = judged(HostAccess::Always, &project).unwrap();
        let build = &made["services"]["app"]["build"];
        assert_eq!((build.get("cache_from"), build.get("ssh")), (None, None));
        let begins = ["ssh of the build of app", "cache_from of the build of app"];
        for (warning, begins) in warnings.iter().zip(begins) {
            assert!(warning.starts_with(begins), "{warning}");
        }
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn a_dockerfile_in_the_project_itself_becomes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut project = json!({ "services": {
            "app": { "build": { "context": "/c", "dockerfile_inline": "FROM a" } },
            "db": { "build": { "context": "/c", "dockerfile": "b" } },
            "web": { "image": "a" },
        } });
        write_inline_dockerfiles(&mut project, folder.path()).unwrap();
        let file = folder.path().join("compose-dockerfile-0");
        assert_eq!(fs::read_to_string(&file).unwrap(), "FROM a");
        let expected = json!({ "services": {
            "app": { "build": { "context": "/c", "dockerfile": file } },
            "db": { "build": { "context": "/c", "dockerfile": "b" } },
            "web": { "image": "a" },
        } });
        assert_eq!(project, expected);
    }

    #[test]
    fn no_program_of_the_node_is_a_service() {
        let project = json!({ "services": { "db": { "provider": { "type": "sh" } } } });
        let error = judged(HostAccess::Always, &project).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the service db has a provider")
        );
    }
}
