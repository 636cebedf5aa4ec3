//! What a Compose project builds, under names of the workspace's own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{
    clone_files::CloneFiles,
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

/// Adds a file of hearth's own to the project's.
pub fn add_file(properties: &mut Map<String, Value>, files: &[PathBuf], own: &Path) {
    let files = files.iter().map(PathBuf::as_path).chain([own]);
    let files: Vec<_> = files.map(|file| file.to_string_lossy()).collect();
    properties.insert("dockerComposeFile".to_owned(), json!(files));
}

/// What Compose makes of a project cannot be read: it is too large.
#[derive(Debug, thiserror::Error)]
#[error("the Compose project cannot be read; it may be larger than 1 MiB")]
pub struct UnreadProject;

/// A Compose file that changes the project; `None` if there is nothing to change. An image that is built here must not take
/// the place of another one on the node, such as a base image, by its name.
///
/// `project` is what Compose makes of the project's files.
pub fn override_file(cx: &Context<'_>, project: &str) -> Result<Option<String>, UnreadProject> {
    let (file, warnings) = changes(
        &volume_name(&cx.job.attempt.workspace),
        &cx.allowed,
        project,
    )?;
    for warning in warnings {
        cx.recorder.warn(warning);
    }
    Ok(file)
}

type Changes = (Option<String>, Vec<String>);

fn changes(own: &str, allowed: &Allowed, project: &str) -> Result<Changes, UnreadProject> {
    let project: Value = serde_json::from_str(project).map_err(|_| UnreadProject)?;
    let none = Map::new();
    let services = project["services"].as_object().unwrap_or(&none);
    let builds = |service: &Value| service.get("build").is_some_and(|build| !build.is_null());
    let image_of = |service: &Value| service.get("image").and_then(Value::as_str).map(tagged);
    let built = services
        .values()
        .filter(|service| builds(service))
        .filter_map(image_of);
    let numbered = built
        .enumerate()
        .map(|(number, image)| (image, format!("{own}_{number}")));
    let names: BTreeMap<String, String> = numbered.collect();
    let mut text = String::from("services:\n");
    let before = text.len();
    let mut warnings = Vec::new();
    for (name, service) in services {
        let mut lines = String::new();
        if let Some(image) = image_of(service).and_then(|image| names.get(&image)) {
            lines.push_str(&format!("    image: {image}\n"));
        }
        let build = &service["build"];
        let mut of_build = String::new();
        if build["tags"]
            .as_array()
            .is_some_and(|tags| !tags.is_empty())
        {
            of_build.push_str("      tags: !reset []\n");
        }
        if build["network"] == "host" && !allowed.is_open(&Door::HostNetwork) {
            let what = format!("network: host of the build of {name}");
            warnings.push(allowed.refusal(what, &Door::HostNetwork));
            of_build.push_str("      network: default\n");
        }
        // With them, a step asks for the node's network by itself.
        let rights = build["entitlements"].as_array();
        if rights.is_some_and(|rights| !rights.is_empty()) && !allowed.everything() {
            let what = format!("entitlements of the build of {name}");
            warnings.push(allowed.refusal(what, &Door::Privileged));
            of_build.push_str("      entitlements: !reset []\n");
        }
        if !of_build.is_empty() {
            lines.push_str(&format!("    build:\n{of_build}"));
        }
        if !lines.is_empty() {
            // A text of JSON is one of YAML.
            text.push_str(&format!("  {}:\n{lines}", json!(name)));
        }
    }
    Ok(((text.len() > before).then_some(text), warnings))
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

    fn changed(host_access: HostAccess, project: Value) -> (Option<String>, Vec<String>) {
        let open_doors = [].into();
        let allowed = Policy {
            host_access,
            open_doors,
        }
        .allow(false, None);
        changes("hearth-ws-1", &allowed, &project.to_string()).unwrap()
    }

    #[test]
    fn what_is_built_gets_a_name_of_the_workspaces_where_it_is_used_too() {
        let project = json!({ "services": {
            "app": { "build": { "context": ".", "tags": ["debian:13"] }, "image": "debian:12" },
            "again": { "image": "debian:12" },
            "plain": { "image": "debian:11" },
            "unnamed": { "build": { "context": "." } },
            "web": { "build": { "context": "." }, "image": "r:5/web" },
            "tests": { "image": "r:5/web:latest" },
        } });
        let expected = "services:\n  \"app\":\n    image: hearth-ws-1_0\n    build:\n      tags: !reset []\n  \
                        \"again\":\n    image: hearth-ws-1_0\n  \"web\":\n    image: hearth-ws-1_1\n  \
                        \"tests\":\n    image: hearth-ws-1_1\n";
        assert_eq!(
            changed(HostAccess::Never, project),
            (Some(expected.to_owned()), Vec::new())
        );
    }

    #[test]
    fn a_build_is_in_the_nodes_network_only_where_that_is_open() {
        let project =
            json!({ "services": { "app": { "build": { "context": ".", "network": "host" } } } });
        let (file, warnings) = changed(HostAccess::Never, project.clone());
        assert_eq!(
            file.unwrap(),
            "services:\n  \"app\":\n    build:\n      network: default\n"
        );
        assert!(
            warnings[0].starts_with("network: host of the build of app is left out"),
            "{warnings:?}"
        );
        assert_eq!(changed(HostAccess::Always, project), (None, Vec::new()));

        let project = json!({ "services": { "app": { "build": { "context": ".", "entitlements": ["network.host"] } } } });
        let (file, warnings) = changed(HostAccess::Never, project.clone());
        let expected = "services:\n  \"app\":\n    build:\n      entitlements: !reset []\n";
        assert_eq!((file.as_deref(), warnings.len()), (Some(expected), 1));
        assert_eq!(changed(HostAccess::Always, project), (None, Vec::new()));
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
