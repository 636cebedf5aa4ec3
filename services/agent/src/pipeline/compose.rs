//! A Compose project as it may be started: what it builds has names of the workspace's own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    compose_files,
    context::{Checkout, Context},
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{CACHE_MOUNTS, CACHE_SOURCE},
    external::{devcontainer::SshOfBuild, engine::volume_name},
    policy::{Allowed, Door},
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

/// A project that is not started.
#[derive(Debug, thiserror::Error)]
pub enum Unstarted {
    /// What Compose makes of it is too large.
    #[error("the Compose project cannot be read; it may be larger than 1 MiB")]
    Unread,
    /// A Dockerfile of it cannot be kept.
    #[error("a Dockerfile of the Compose project cannot be written: {0}")]
    Unwritten(io::Error),
    /// Compose would run a program of the node.
    #[error(
        "the service {0} has a provider, which is a program of the node: hearth runs none; give the service an image or a build"
    )]
    Provider(String),
}

/// The project as it may be started, as the one file of it. `project` is what Compose makes of the repository's files, which
/// are not read again: they could be others by then.
///
/// An image that is built here must not take the place of another one on the node, such as a base image, by its name.
pub fn judged(cx: &Context<'_>, clone: &Checkout, project: &str) -> Result<String, Unstarted> {
    let rules = Rules {
        own: &volume_name(&cx.job.attempt.workspace),
        allowed: &cx.allowed,
        cache_mounts: &cx.job.cache_mounts,
        clone: (&clone.folder, &clone.files),
    };
    let (mut project, warnings) = rules.judge(project)?;
    for warning in warnings {
        cx.recorder.warn(warning);
    }
    write_inline_dockerfiles(&mut project, cx.scratch.path()).map_err(Unstarted::Unwritten)?;
    Ok(project.to_string())
}

/// Puts Dockerfiles that are in the project itself into files of `folder`: the devcontainer CLI looks for a file.
fn write_inline_dockerfiles(project: &mut Value, folder: &Path) -> io::Result<()> {
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
    /// The project as it may be started, and warnings about what is left out.
    pub fn judge(&self, project: &str) -> Result<(Value, Vec<String>), Unstarted> {
        let mut project: Value = serde_json::from_str(project).map_err(|_| Unstarted::Unread)?;
        let mut warnings = compose_files::leave_out_unusable(&mut project, self.clone);
        if let Some(services) = project.get_mut("services").and_then(Value::as_object_mut) {
            let built = services.values().filter(|service| is_built(service));
            let numbered = built
                .filter_map(image_of)
                .enumerate()
                .map(|(number, image)| (image, format!("{}_{number}", self.own)));
            let names: BTreeMap<String, String> = numbered.collect();
            for (name, service) in services {
                if service.get("provider").is_some() {
                    return Err(Unstarted::Provider(name.clone()));
                }
                if let Some(own) = image_of(service).and_then(|image| names.get(&image)) {
                    service["image"] = json!(own);
                }
                if let Some(build) = service.get_mut("build").and_then(Value::as_object_mut) {
                    self.judge_build(name, build, &mut warnings);
                }
            }
        }
        Ok((project, warnings))
    }

    fn judge_build(
        &self,
        service: &str,
        build: &mut Map<String, Value>,
        warnings: &mut Vec<String>,
    ) {
        // More names, and caches at places that the repository names.
        for property in ["tags", "cache_to"] {
            build.remove(property);
        }
        if build.remove("ssh").is_some() {
            warnings.push(SshOfBuild(service).to_string());
        }
        if build.remove("cache_from").is_some() {
            warnings.push(format!(
                "cache_from of the build of {service} is left out: {CACHE_SOURCE}"
            ));
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
                let what = format!("the property {property} of the build of {service}");
                warnings.push(self.allowed.refusal(what, &door));
                build.remove(property);
            }
        }
        // Steps of others must not see, or leave anything in, the cache mounts of these.
        let args = build.entry("args").or_insert_with(|| json!({}));
        if !args.is_object() {
            *args = json!({});
        }
        args[CACHE_MOUNTS] = json!(self.cache_mounts);
    }
}

fn is_built(service: &Value) -> bool {
    service.get("build").is_some_and(|build| !build.is_null())
}

fn image_of(service: &Value) -> Option<String> {
    service.get("image").and_then(Value::as_str).map(tagged)
}

/// The name of an image with its tag.
fn tagged(image: &str) -> String {
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
        rules.judge(&project.to_string())
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

    #[test]
    fn a_project_that_names_no_files_has_the_usual_ones() {
        let clone = tempfile::tempdir().unwrap();
        fs::write(clone.path().join("docker-compose.yml"), "").unwrap();
        let clone = CloneFiles::open(clone.path()).unwrap();
        assert_eq!(files(&clone, &[]), [Path::new("docker-compose.yml")]);
        assert_eq!(files(&clone, &["a.yml".into()]), [Path::new("a.yml")]);
    }
}
