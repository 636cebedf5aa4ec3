//! The build of a service of a Docker Compose project, as Compose has resolved it, as one that hearth makes itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hearth_domain::Platform;
use serde_json::{Map, Value};

use super::{
    build::{Build, CACHE_MOUNTS},
    build_option::{BuildOption, LeftOut},
    build_options::{Options, is_platform},
    clone_path::{SeenFrom, in_clone},
    properties::text_of,
};

/// What a build of a service is read with.
#[derive(Clone, Copy, Debug)]
pub struct ServiceBuild<'a> {
    /// The properties of the service.
    pub properties: &'a Map<String, Value>,
    /// The secrets of the project.
    pub secrets: &'a Map<String, Value>,
    /// The clone on the node: Compose names paths in it by absolute ones.
    pub clone: &'a Path,
    /// The node's platform.
    pub platform: &'a Platform,
}

impl<'a> ServiceBuild<'a> {
    fn seen(&self) -> SeenFrom<'a> {
        SeenFrom {
            root: self.clone,
            folder: Path::new(""),
        }
    }
}

impl Build {
    /// Reads the property `build`. What Compose's own properties are left out of it is in `left_out` already. `None`: its context
    /// is not in the repository, but at a URL.
    pub fn of_service(
        of: ServiceBuild<'_>,
        left_out: Vec<LeftOut>,
    ) -> Result<Option<Self>, String> {
        let build = unescaped(of.properties.get("build").cloned().unwrap_or_default());
        let Value::Object(build) = build else {
            return Err("its build is not an object".to_owned());
        };
        let text = |name: &str| build.get(name).and_then(text_of);
        let context = text("context").unwrap_or_default();
        if !context.starts_with('/') {
            return Ok(None);
        }
        let no_folder = Path::new("");
        let located = |what: &str, folder: &Path, path: &str| {
            in_clone(of.clone, folder, path).map_err(|error| format!("{what} {path:?} {error}"))
        };
        let context = located("the context", no_folder, &context)?;
        let inline = text("dockerfile_inline");
        let dockerfile = text("dockerfile").filter(|name| !name.is_empty());
        let dockerfile = dockerfile.as_deref().unwrap_or("Dockerfile");
        let dockerfile = located("the Dockerfile", &context, dockerfile)?;
        let mut args = texts(build.get("args"));
        args.remove(CACHE_MOUNTS);
        let Options {
            options,
            left_out: refused,
            ..
        } = Options::read(words(&build), of.seen(), &mut args);
        let mut made = Self {
            dockerfile,
            inline,
            context,
            target: text("target").filter(|target| !target.is_empty()),
            args,
            options,
            left_out,
        };
        made.left_out.extend(refused);
        made.platform(&build, of);
        made.contexts(&build, of.seen());
        made.secrets(&build, of);
        made.check()?;
        Ok(Some(made))
    }

    /// Its platform, if it is to have one: the node's among several.
    fn platform(&mut self, build: &Map<String, Value>, of: ServiceBuild<'_>) {
        let listed = build.get("platforms").and_then(Value::as_array);
        let listed: Vec<String> = listed.into_iter().flatten().filter_map(text_of).collect();
        let named = of.properties.get("platform").and_then(text_of);
        let own = listed.iter().find(|name| is_platform(name, of.platform));
        let asked = own.or(listed.first()).or(named.as_ref());
        if let Some(asked) = asked {
            self.options.push(BuildOption::Platform(asked.clone()));
        }
    }

    fn contexts(&mut self, build: &Map<String, Value>, seen: SeenFrom<'_>) {
        for (name, from) in texts(build.get("additional_contexts")) {
            if let Some(service) = from.strip_prefix("service:") {
                self.options.push(BuildOption::service(name, service));
                continue;
            }
            let word = format!("--build-context={name}={from}");
            let read = Options::read(vec![word], seen, &mut BTreeMap::new());
            self.options.extend(read.options);
            self.left_out.extend(read.left_out);
        }
    }

    fn secrets(&mut self, build: &Map<String, Value>, of: ServiceBuild<'_>) {
        let used = build.get("secrets").and_then(Value::as_array);
        for used in used.into_iter().flatten() {
            let source = used.get("source").unwrap_or(used).as_str();
            let source = source.unwrap_or_default();
            let id = used.get("target").and_then(Value::as_str);
            let id = id.filter(|id| !id.is_empty()).unwrap_or(source);
            let file = of.secrets.get(source).and_then(|secret| secret.get("file"));
            let file = file.and_then(Value::as_str).map(unescaped_text);
            let file: Result<PathBuf, String> = match file {
                Some(file) => in_clone(of.clone, Path::new(""), &file)
                    .map_err(|error| format!("{file} {error}")),
                None => Err("a build takes its secrets from files of the repository".to_owned()),
            };
            match file {
                Ok(file) => self.options.push(BuildOption::Secret {
                    id: id.to_owned(),
                    file,
                }),
                Err(why) => self.left_out.push(LeftOut {
                    what: format!("{source} of the secrets"),
                    why,
                    shapes: true,
                }),
            }
        }
    }

    /// Names the service in what is left out of its build.
    pub fn name_left_out(&mut self, service: &str) {
        let of = format!(" of the build of {service}");
        for left_out in &mut self.left_out {
            if !left_out.what.ends_with(&of) {
                left_out.what.push_str(&of);
            }
        }
    }
}

/// The options that docker has words for.
fn words(build: &Map<String, Value>) -> Vec<String> {
    let is_true = |name: &str| build.get(name).is_some_and(|value| *value == true);
    let mut words = Vec::new();
    for (property, word) in [
        ("no_cache", "--no-cache"),
        ("pull", "--pull"),
        ("privileged", "--allow=security.insecure"),
    ] {
        if is_true(property) {
            words.push(word.to_owned());
        }
    }
    for (property, flag) in [
        ("network", "--network"),
        ("shm_size", "--shm-size"),
        ("isolation", "--isolation"),
    ] {
        let value = build.get(property).and_then(text_of);
        words.extend(value.map(|value| format!("{flag}={value}")));
    }
    let entitlements = build.get("entitlements").and_then(Value::as_array);
    let entitlements = entitlements.into_iter().flatten().filter_map(text_of);
    words.extend(entitlements.map(|right| format!("--allow={right}")));
    let labels = texts(build.get("labels")).into_iter();
    words.extend(labels.map(|(name, value)| format!("--label={name}={value}")));
    words.extend(hosts(build.get("extra_hosts")));
    let limits = build.get("ulimits").and_then(Value::as_object);
    for (name, limit) in limits.into_iter().flatten() {
        let both = limit.get("soft").zip(limit.get("hard"));
        let value = match both {
            Some((soft, hard)) => format!("{soft}:{hard}"),
            None => limit.to_string(),
        };
        words.push(format!("--ulimit={name}={value}"));
    }
    words
}

/// `HOST=ADDRESS`, or a list of addresses by host.
fn hosts(value: Option<&Value>) -> Vec<String> {
    let host = |host: &str, address: &str| format!("--add-host={host}:{address}");
    match value {
        Some(Value::Array(lines)) => {
            let lines = lines.iter().filter_map(text_of);
            let lines = lines.filter_map(|line| {
                let (name, address) = line.split_once('=').or_else(|| line.split_once(':'))?;
                Some(host(name, address))
            });
            lines.collect()
        }
        Some(Value::Object(hosts)) => {
            let listed = hosts.iter().flat_map(|(name, addresses)| {
                let addresses = match addresses {
                    Value::Array(addresses) => addresses.iter().filter_map(text_of).collect(),
                    one => text_of(one).into_iter().collect::<Vec<_>>(),
                };
                addresses
                    .into_iter()
                    .map(move |address| host(name, &address))
            });
            listed.collect()
        }
        _ => Vec::new(),
    }
}

/// Pairs of an object, or of a list of `NAME=VALUE`. What has no value is left out: it would be the node's.
fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Object(pairs)) => pairs
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), text_of(value)?)))
            .collect(),
        Some(Value::Array(lines)) => lines
            .iter()
            .filter_map(text_of)
            .filter_map(|line| {
                let (name, value) = line.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// What Compose writes of a project can be read by it again, so each `$` is doubled.
fn unescaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(unescaped_text(&text)),
        Value::Array(items) => items.into_iter().map(unescaped).collect(),
        Value::Object(pairs) => {
            let pairs = pairs.into_iter();
            Value::Object(
                pairs
                    .map(|(name, value)| (name, unescaped(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// A text of a project, as it is meant.
pub(crate) fn unescaped_text(text: &str) -> String {
    text.replace("$$", "$")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(properties: &Value, secrets: &Value) -> Result<Option<Build>, String> {
        let of = ServiceBuild {
            properties: properties.as_object().unwrap(),
            secrets: secrets.as_object().unwrap(),
            clone: Path::new("/node/app"),
            platform: &"linux/amd64".parse().unwrap(),
        };
        Build::of_service(of, Vec::new())
    }

    fn made(build: Value) -> Build {
        read(&json!({ "build": build }), &json!({}))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_build_of_compose_is_one_that_docker_makes() {
        let build = made(json!({
            "context": "/node/app/api", "dockerfile": "../docker/api", "target": "dev",
            "args": { "A": "1$$2", "B": null, "BUILDKIT_CACHE_MOUNT_NS": "ns" },
            "no_cache": true, "pull": false, "network": "none", "shm_size": "67108864",
            "labels": { "a": "b" }, "extra_hosts": ["db=10.0.0.1", "v6=::1"],
            "ulimits": { "nofile": 10, "nproc": { "soft": 1, "hard": 2 } },
            "additional_contexts": { "assets": "/node/app/assets", "base": "service:base", "im": "docker-image://x" },
        }));
        assert_eq!(build.context, Path::new("api"));
        assert_eq!(build.dockerfile, Path::new("docker/api"));
        assert_eq!(build.target.as_deref(), Some("dev"));
        assert_eq!(build.args, [("A".to_owned(), "1$2".to_owned())].into());
        let plain = |word: &str| BuildOption::Plain(word.to_owned());
        let expected = [
            plain("--no-cache"),
            plain("--network=none"),
            plain("--shm-size=67108864"),
            plain("--label=a=b"),
            plain("--add-host=db:10.0.0.1"),
            plain("--add-host=v6:::1"),
            plain("--ulimit=nofile=10"),
            plain("--ulimit=nproc=1:2"),
            BuildOption::Folder {
                name: "assets".to_owned(),
                folder: "assets".into(),
            },
            BuildOption::service("base".to_owned(), "base"),
            BuildOption::Remote {
                name: "im".to_owned(),
                from: "docker-image://x".to_owned(),
            },
        ];
        assert_eq!(build.options, expected);
        assert_eq!(build.left_out, []);
    }

    #[test]
    fn a_dockerfile_in_the_compose_file_is_the_text_that_is_meant() {
        let build =
            made(json!({ "context": "/node/app", "dockerfile_inline": "FROM a\nENV B=$$C" }));
        assert_eq!(build.inline.as_deref(), Some("FROM a\nENV B=$C"));
        assert_eq!(build.context, Path::new(""));
        assert_eq!(build.ignore_files(), [Path::new(".dockerignore")]);
    }

    #[test]
    fn secrets_are_files_of_the_repository_under_the_name_that_the_build_has_for_them() {
        let secrets = json!({ "s": { "file": "/node/app/sec" }, "t": { "content": "x" } });
        let used = json!({ "context": "/node/app", "secrets": [{ "source": "s", "target": "id" }, "s", { "source": "t" }] });
        let build = read(&json!({ "build": used }), &secrets).unwrap().unwrap();
        let secret = |id: &str| BuildOption::Secret {
            id: id.to_owned(),
            file: "sec".into(),
        };
        assert_eq!(build.options, [secret("id"), secret("s")]);
        assert!(build.left_out[0].shapes && build.left_out[0].what == "t of the secrets");
    }

    #[test]
    fn of_several_platforms_the_nodes_is_built() {
        let asked = |properties: Value| read(&properties, &json!({})).unwrap().unwrap().options;
        let platform = |name: &str| vec![BuildOption::Platform(name.to_owned())];
        let several = json!({ "build": { "context": "/node/app", "platforms": ["linux/arm64", "linux/amd64"] } });
        assert_eq!(asked(several), platform("linux/amd64"));
        let other = json!({ "build": { "context": "/node/app" }, "platform": "linux/arm64" });
        assert_eq!(asked(other), platform("linux/arm64"));
        assert_eq!(asked(json!({ "build": { "context": "/node/app" } })), []);
    }

    #[test]
    fn a_context_at_a_url_is_not_read_and_one_outside_of_the_repository_is_refused() {
        let of = |context: &str| read(&json!({ "build": { "context": context } }), &json!({}));
        assert_eq!(of("https://git.example/a.git"), Ok(None));
        assert!(of("/etc").unwrap_err().contains("the context \"/etc\""));
    }
}
