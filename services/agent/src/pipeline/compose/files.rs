//! Files that a Compose project hands to its services: secrets and configs.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use crate::{clone_files::CloneFiles, devcontainer::LeftOut};

/// What builds do not get, by their services.
pub type LeftOutOfBuilds = BTreeMap<String, Vec<LeftOut>>;

/// Leaves out the secrets and configs that cannot be handed over, so that the workspace comes up without them, and says so:
/// of services, and of the builds of services.
pub fn leave_out_unusable(
    project: &mut Value,
    clone: (&Path, &CloneFiles),
) -> (Vec<String>, LeftOutOfBuilds) {
    let mut warnings = Vec::new();
    let mut of_builds = LeftOutOfBuilds::new();
    for kind in ["secrets", "configs"] {
        let defined = project.get(kind).and_then(Value::as_object);
        let defined = defined.cloned().unwrap_or_default();
        let services = project.get_mut("services").and_then(Value::as_object_mut);
        for (service, properties) in services.into_iter().flatten() {
            let mut sift = |owner: &mut Value, of: String, is_build: bool| {
                if let Some(used) = owner.get_mut(kind).and_then(Value::as_array_mut) {
                    used.retain(|used| {
                        let name = used
                            .get("source")
                            .unwrap_or(used)
                            .as_str()
                            .unwrap_or_default();
                        let Some(why) = why_unusable(&defined, name, clone, is_build) else {
                            return true;
                        };
                        let left_out = LeftOut {
                            what: format!("{name} of the {kind} of {of}"),
                            why: why.to_owned(),
                            shapes: true,
                        };
                        match is_build {
                            true => of_builds.entry(service.clone()).or_default().push(left_out),
                            false => warnings.push(left_out.to_string()),
                        }
                        false
                    });
                    owner
                        .as_object_mut()
                        .into_iter()
                        .for_each(|owner| remove_if_empty(owner, kind));
                }
            };
            if let Some(build) = properties.get_mut("build") {
                sift(build, format!("the build of {service}"), true);
            }
            sift(properties, service.clone(), false);
        }
    }
    (warnings, of_builds)
}

/// The devcontainer CLI passes an empty list on as none, which Compose does not take for one.
pub fn remove_if_empty(properties: &mut Map<String, Value>, name: &str) {
    if properties
        .get(name)
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        properties.remove(name);
    }
}

/// A file outside of the clone is not there for a build, and is a mount like any other for a service.
fn why_unusable(
    defined: &Map<String, Value>,
    name: &str,
    (folder, files): (&Path, &CloneFiles),
    is_build: bool,
) -> Option<&'static str> {
    let definition = defined.get(name)?;
    if definition
        .get("external")
        .is_some_and(|external| *external == true)
    {
        return Some("it is external, and the node has none");
    }
    if definition.get("content").is_some_and(Value::is_string) {
        return None;
    }
    let Some(file) = definition.get("file").and_then(Value::as_str) else {
        return Some("the environment of the node is not the repository's; name a file");
    };
    match Path::new(file).strip_prefix(folder) {
        Ok(file) if files.open_file(file).is_ok() => None,
        Ok(_) => Some("its file is not in the repository"),
        Err(_) => is_build.then_some("its file is outside of the repository"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_handed_over_is_left_out_with_its_name() {
        let clone = tempfile::tempdir().unwrap();
        let folder = clone.path();
        std::fs::write(folder.join("there"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        let files = CloneFiles::open(folder).unwrap();
        let in_clone = |name: &str| json!({ "file": folder.join(name) });
        let definitions = json!({
            "there": in_clone("there"), "missing": in_clone("missing"), "link": in_clone("link"),
            "outside": { "file": "/etc/passwd" }, "text": { "content": "a" },
            "variable": { "environment": "HOME" }, "external": { "external": true },
        });
        let all: Vec<_> = [
            "there", "missing", "link", "outside", "text", "variable", "external",
        ]
        .map(|name| json!({ "source": name }))
        .into();
        let mut project = json!({
            "secrets": definitions, "configs": definitions,
            "services": { "app": { "build": { "secrets": all }, "secrets": all, "configs": all }, "db": { "secrets": ["missing"] } },
        });
        let (warnings, of_builds) = leave_out_unusable(&mut project, (folder, &files));
        let app = &project["services"]["app"];
        let kept = |used: &Value| -> Vec<String> {
            let used = used.as_array().unwrap().iter();
            used.map(|used| used["source"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(kept(&app["build"]["secrets"]), ["there", "text"]);
        for kind in ["secrets", "configs"] {
            assert_eq!(kept(&app[kind]), ["there", "outside", "text"]);
        }
        assert_eq!(project["services"]["db"].get("secrets"), None);
        assert_eq!((warnings.len(), of_builds["app"].len()), (4 + 4 + 1, 5));
        let told = of_builds["app"][0].to_string();
        assert!(told.starts_with("missing of the secrets of the build of app is left out"));
    }
}
