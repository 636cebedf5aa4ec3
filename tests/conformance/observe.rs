//! What there is to see of a workspace, as a flat list of names and texts that two runs of a fixture are compared by.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use hearth_tests::{Vm, process::path};
use serde_json::Value;

use crate::{files, names::Names};

/// Everything by its name.
pub type Observed = BTreeMap<String, String>;

/// A workspace that is looked at.
pub struct Subject<'a> {
    pub vm: &'a Vm,
    pub container: &'a str,
    /// The clone on the machine.
    pub clone: &'a Path,
    /// Empty where nobody says.
    pub user: &'a str,
    pub folder: &'a str,
    /// How `devcontainer exec` finds the container.
    pub found_by: Vec<String>,
    /// What differs between any two workspaces.
    pub names: Vec<(String, String)>,
    /// A folder to work in.
    pub scratch: PathBuf,
}

/// What an engine says of a container and is of no interest: ids, paths and times of the machine, and what is in `Mounts` too.
const PASSED_OVER: [&str; 8] = [
    "Config.Image",
    "Config.Labels.com.docker.compose",
    "Config.Labels.devcontainer.metadata",
    "HostConfig.Binds",
    "HostConfig.CgroupParent",
    "HostConfig.ConsoleSize",
    "HostConfig.LogConfig",
    "HostConfig.Mounts",
];

impl Subject<'_> {
    /// Looks at everything; the container is stopped by that.
    pub fn observe(&self) -> Observed {
        let mut seen = Observed::new();
        for (name, text) in [("user", self.user), ("folder", self.folder)] {
            if !text.is_empty() {
                seen.insert(name.to_owned(), text.to_owned());
            }
        }
        let project = self.container(&mut seen);
        self.services(&mut seen);
        let root = files::export(self.vm, self.container, &self.scratch);
        let uid = files::uid(&root, self.user);
        files::of_image(&root, &mut seen);
        notes(&root.join("var/notes"), &mut seen);
        files::of_clone(self.clone, uid, &mut seen);
        git(self.clone, &mut seen);
        self.entered(&mut seen);
        // Seconds that a process without a handler of its own is given.
        self.vm.docker(&["stop", "--time", "4", self.container]);
        let ended = ["inspect", "--format", "{{.State.ExitCode}}", self.container];
        seen.insert("exit code of a stop".to_owned(), self.vm.docker(&ended));
        let mut names = self.names.clone();
        if let Some(project) = project {
            // First, since hearth names the project like the workspace.
            names.insert(0, (project, "<project>".to_owned()));
        }
        let names = Names::new(names);
        seen.into_iter()
            .map(|(name, text)| (names.replaced(&name), names.replaced(&text)))
            .collect()
    }

    /// What the engine says of the container; returns the Compose project that it is in.
    fn container(&self, seen: &mut Observed) -> Option<String> {
        let mut inspected: Value =
            serde_json::from_str(&self.vm.docker(&["inspect", self.container])).expect("JSON");
        let container = inspected[0].take();
        for part in ["Path", "Args", "Config", "HostConfig"] {
            flatten(part, &container[part], seen);
        }
        flatten("Ports", &container["NetworkSettings"]["Ports"], seen);
        let networks = container["NetworkSettings"]["Networks"].as_object();
        for (name, network) in networks.into_iter().flatten() {
            let aliases = &network["Aliases"];
            seen.insert(format!("network {name}"), aliases.to_string());
        }
        for mount in container["Mounts"].as_array().into_iter().flatten() {
            let text = |name: &str| mount[name].as_str().unwrap_or_default().to_owned();
            let source = match &*text("Type") {
                "volume" => text("Name"),
                _ => text("Source"),
            };
            let rights = if mount["RW"] == true { "rw" } else { "ro" };
            seen.insert(
                format!("mount {}", text("Destination")),
                format!("{} {source} {rights}", text("Type")),
            );
        }
        let environment = container["Config"]["Env"].as_array();
        for pair in environment.into_iter().flatten().filter_map(Value::as_str) {
            let (name, value) = pair.split_once('=').expect("a pair");
            seen.insert(format!("container env {name}"), value.to_owned());
        }
        let labels = &container["Config"]["Labels"];
        let metadata = &labels["devcontainer.metadata"];
        let metadata: Value = metadata.as_str().map_or(Value::Null, |text| {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        });
        merged(&metadata, seen);
        let project = labels["com.docker.compose.project"].as_str();
        project.map(str::to_owned)
    }

    /// The services of a Compose project, and whether they run.
    fn services(&self, seen: &mut Observed) {
        let format = r#"{{.Label "com.docker.compose.service"}} {{.State}}"#;
        for line in self.vm.docker(&["ps", "--all", "--format", format]).lines() {
            if let Some((service, state)) =
                line.split_once(' ').filter(|(name, _)| !name.is_empty())
            {
                seen.insert(format!("service {service}"), state.to_owned());
            }
        }
    }

    /// What a program sees that is started by `devcontainer exec`.
    fn entered(&self, seen: &mut Observed) {
        let script = "echo ids=$(id); echo umask=$(umask); env";
        let home = self.scratch.join("home");
        std::fs::create_dir_all(&home).expect("a folder");
        let output = Command::new("devcontainer")
            .arg("exec")
            .args(&self.found_by)
            .args(["sh", "-c", script])
            .env("PATH", path())
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("DOCKER_HOST", self.vm.docker_host())
            .output()
            .expect("devcontainer");
        let text = String::from_utf8_lossy(&output.stdout);
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            if !["_", "SHLVL", "PWD"].contains(&name) {
                seen.insert(format!("exec {name}"), value.trim_end().to_owned());
            }
        }
    }
}

/// The values of each property of the metadata, in the order of the entries. The configuration may have a part in two entries,
/// which changes nothing but for hooks.
fn merged(metadata: &Value, seen: &mut Observed) {
    let mut values = BTreeMap::<&str, Vec<String>>::new();
    let entries = metadata.as_array().into_iter().flatten();
    for (name, value) in entries.filter_map(Value::as_object).flatten() {
        let values = values.entry(name).or_default();
        values.push(sorted(value).to_string());
        if !name.ends_with("Command") {
            values.dedup();
        }
    }
    for (name, values) in values {
        seen.insert(format!("metadata {name}"), values.join(" and "));
    }
}

/// What `note` has left: a file for each that called it, and one with all of them in their order.
fn notes(folder: &Path, seen: &mut Observed) {
    let Ok(notes) = std::fs::read_dir(folder) else {
        return;
    };
    for note in notes.map(|note| note.expect("an entry")) {
        let name = note.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(note.path()).expect("a note");
        if name == "order" {
            // Commands of one hook run at the same time: `postCreate+a` and `postCreate+b`.
            let mut order: Vec<_> = text.lines().collect();
            let hook = |line: &str| line.split('+').next().map(str::to_owned);
            for commands in order.chunk_by_mut(|a, b| hook(a) == hook(b)) {
                commands.sort_unstable();
            }
            seen.insert("hooks in their order".to_owned(), order.join(" "));
            continue;
        }
        let runs = text.lines().filter(|line| *line == "run").count();
        seen.insert(format!("runs of {name}"), runs.to_string());
        for line in text.lines() {
            let pair = line.split_once(": ").or_else(|| line.split_once('='));
            if let Some((key, value)) = pair {
                seen.insert(format!("in {name}: {key}"), value.to_owned());
            }
        }
    }
}

/// What git says of the clone.
fn git(clone: &Path, seen: &mut Observed) {
    let asked: [(&str, &[&str]); 7] = [
        (
            "status",
            &[
                "status",
                "--porcelain=v1",
                "--untracked-files=all",
                "--ignored",
            ],
        ),
        ("commit", &["rev-parse", "HEAD"]),
        ("branch", &["branch", "--show-current"]),
        ("upstream", &["rev-parse", "--abbrev-ref", "@{upstream}"]),
        ("remote", &["remote", "get-url", "origin"]),
        ("submodules", &["submodule", "status", "--recursive"]),
        ("commits", &["rev-list", "--count", "--all"]),
    ];
    for (name, args) in asked {
        let output = Command::new("git")
            .args(["-c", "safe.directory=*", "-c", "core.quotePath=false", "-C"])
            .arg(clone)
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .expect("git");
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        seen.insert(format!("git {name}"), text);
    }
}

/// All that is set in a value, each with its path.
fn flatten(name: &str, value: &Value, seen: &mut Observed) {
    if PASSED_OVER.iter().any(|passed| name.starts_with(passed)) || name == "Config.Env" {
        return;
    }
    match value {
        Value::Object(fields) if name != "Ports" => {
            for (field, value) in fields {
                flatten(&format!("{name}.{field}"), value, seen);
            }
        }
        Value::Null | Value::Bool(false) => {}
        Value::Number(number) if number.as_i64() == Some(0) => {}
        Value::String(text) => {
            // A container without a user is root's.
            if !text.is_empty() && (name, &**text) != ("Config.User", "root") {
                seen.insert(name.to_owned(), text.clone());
            }
        }
        other => {
            let text = sorted(other).to_string();
            if !["[]", "{}"].contains(&&*text) {
                seen.insert(name.to_owned(), text);
            }
        }
    }
}

/// The same value with its properties in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            fields.into_iter().collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
