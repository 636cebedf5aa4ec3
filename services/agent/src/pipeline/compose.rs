//! A Compose project as it may be started: what it builds has names of the workspace's own.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Map, Value, json};

use crate::{
    clone_files::CloneFiles,
    devcontainer::CACHE_MOUNTS,
    external::engine::volume_name,
    pipeline::context::Context,
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

/// What Compose makes of a project cannot be read: it is too large.
#[derive(Debug, thiserror::Error)]
#[error("the Compose project cannot be read; it may be larger than 1 MiB")]
pub struct UnreadProject;

/// The project as it may be started, as the one file of it. `project` is what Compose makes of the repository's files, which
/// are not read again: they could be others by then.
///
/// An image that is built here must not take the place of another one on the node, such as a base image, by its name.
pub fn judged(cx: &Context<'_>, project: &str) -> Result<String, UnreadProject> {
    let (project, warnings) = judge(
        &volume_name(&cx.job.attempt.workspace),
        &cx.allowed,
        &cx.job.cache_mounts(),
        project,
    )?;
    for warning in warnings {
        cx.recorder.warn(warning);
    }
    Ok(project)
}

pub fn judge(
    own: &str,
    allowed: &Allowed,
    cache_mounts: &str,
    project: &str,
) -> Result<(String, Vec<String>), UnreadProject> {
    let mut project: Value = serde_json::from_str(project).map_err(|_| UnreadProject)?;
    let mut warnings = Vec::new();
    if let Some(services) = project.get_mut("services").and_then(Value::as_object_mut) {
        let built = services.values().filter(|service| is_built(service));
        let numbered = built
            .filter_map(image_of)
            .enumerate()
            .map(|(number, image)| (image, format!("{own}_{number}")));
        let names: BTreeMap<String, String> = numbered.collect();
        for (name, service) in services {
            if let Some(own) = image_of(service).and_then(|image| names.get(&image)) {
                service["image"] = json!(own);
            }
            if let Some(build) = service.get_mut("build").and_then(Value::as_object_mut) {
                judge_build(name, build, allowed, cache_mounts, &mut warnings);
            }
        }
    }
    Ok((project.to_string(), warnings))
}

fn is_built(service: &Value) -> bool {
    service.get("build").is_some_and(|build| !build.is_null())
}

fn image_of(service: &Value) -> Option<String> {
    service.get("image").and_then(Value::as_str).map(tagged)
}

fn judge_build(
    service: &str,
    build: &mut Map<String, Value>,
    allowed: &Allowed,
    cache_mounts: &str,
    warnings: &mut Vec<String>,
) {
    // More names, and caches at places that the repository names.
    for property in ["tags", "cache_to"] {
        build.remove(property);
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
        if asked && !allowed.is_open(&door) {
            let what = format!("{property} of the build of {service}");
            warnings.push(allowed.refusal(what, &door));
            build.remove(property);
        }
    }
    // Steps of others must not see, or leave anything in, the cache mounts of these.
    let args = build.entry("args").or_insert_with(|| json!({}));
    if !args.is_object() {
        *args = json!({});
    }
    args[CACHE_MOUNTS] = json!(cache_mounts);
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
    use std::path::Path;

    use super::*;
    use crate::policy::{HostAccess, Policy};

    fn judged(host_access: HostAccess, project: &Value) -> (Value, Vec<String>) {
        let open_doors = [].into();
        let allowed = Policy {
            host_access,
            open_doors,
        }
        .allow(false, None);
        let (text, warnings) = judge("hearth-ws-1", &allowed, "ns", &project.to_string()).unwrap();
        (serde_json::from_str(&text).unwrap(), warnings)
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
        assert_eq!(judged(HostAccess::Never, &project), (expected, Vec::new()));
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
            let (made, warnings) = judged(HostAccess::Never, &project);
            assert_eq!(made["services"]["app"]["build"].get(property), None);
            let begins = format!("{property} of the build of app is left out");
            assert!(warnings[0].starts_with(&begins), "{warnings:?}");
            let (made, warnings) = judged(HostAccess::Always, &project);
            assert_eq!(made["services"]["app"]["build"][property], value);
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn a_project_that_names_no_files_has_the_usual_ones() {
        let clone = tempfile::tempdir().unwrap();
        std::fs::write(clone.path().join("docker-compose.yml"), "").unwrap();
        let clone = CloneFiles::open(clone.path()).unwrap();
        assert_eq!(files(&clone, &[]), [Path::new("docker-compose.yml")]);
        assert_eq!(files(&clone, &["a.yml".into()]), [Path::new("a.yml")]);
    }
}
