//! A developer who clones the repository on a machine of their own, and runs the plain devcontainer CLI there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hearth_tests::{Lab, Vm, process::path};
use serde_json::Value;

use crate::fixture::Fixture;

/// The machine, and what `devcontainer up` came to.
pub struct Developer {
    pub vm: Vm,
    pub home: PathBuf,
    pub clone: PathBuf,
    /// The container, also one that is left by an `up` that failed.
    pub container: Option<String>,
    /// What `up` says: `outcome`, `remoteUser`, `remoteWorkspaceFolder`, `message`, `description`.
    pub result: Value,
    /// What `up` printed meanwhile.
    pub log: String,
}

impl Developer {
    /// Clones and starts the container, as a user who is not root.
    pub fn up(lab: &Lab, url: &str, fixture: &Fixture) -> Self {
        let vm = Vm::start(lab.folder("developer-vm"));
        let home = lab.folder("developer");
        let clone = home.join(&fixture.name);
        fs::create_dir_all(home.join("tmp")).expect("a folder");
        let id = fixture.developer;
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/sh\nd:x:{id}:{id}:d:{}:/bin/sh\n",
            home.display()
        );
        fs::write(home.join("passwd"), passwd).expect("a file");
        let owned = Command::new("chown")
            .args(["-R", &format!("{id}:{id}")])
            .arg(&home)
            .status();
        assert!(owned.expect("chown").success());

        let folder = clone.to_str().expect("a path");
        let cloned = command(&vm, &home, id)
            .args(["git", "clone", "--quiet", "--recurse-submodules"])
            .args([url, folder])
            .output()
            .expect("git");
        let told = String::from_utf8_lossy(&cloned.stderr);
        assert!(cloned.status.success(), "git clone: {told}");
        let output = command(&vm, &home, id)
            .args(["devcontainer", "up"])
            .args(found_by(&clone, fixture))
            .output()
            .expect("devcontainer");
        let printed = String::from_utf8_lossy(&output.stdout);
        let line = printed.lines().rev().find(|line| line.starts_with('{'));
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let result: Value = line.map_or(Value::Null, |line| {
            serde_json::from_str(line).expect("JSON")
        });
        let container = match result["containerId"].as_str() {
            Some(id) => Some(id.to_owned()),
            None => {
                let label = format!("label=devcontainer.local_folder={folder}");
                let ids = vm.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
                ids.lines().next().map(str::to_owned)
            }
        };
        Self {
            vm,
            home,
            clone,
            container,
            result,
            log,
        }
    }

    /// How `devcontainer exec` finds the container.
    pub fn finds(&self, fixture: &Fixture) -> Vec<String> {
        found_by(&self.clone, fixture)
    }

    /// Whether `up` succeeded.
    pub fn succeeded(&self) -> bool {
        self.result["outcome"] == "success"
    }
}

/// The clone and its configuration, as the CLI takes them.
fn found_by(clone: &Path, fixture: &Fixture) -> Vec<String> {
    let config = fixture.config.iter().flat_map(|name| {
        let config = clone.join(format!(".devcontainer/{name}/devcontainer.json"));
        ["--config".to_owned(), config.display().to_string()]
    });
    let folder = ["--workspace-folder".to_owned(), clone.display().to_string()];
    folder.into_iter().chain(config).collect()
}

/// A command of the developer's on the machine: of a user who is not root, and who reaches the engine and the tools of tests,
/// which are root's.
fn command(vm: &Vm, home: &Path, id: u32) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args(["--dev-bind", "/", "/", "--ro-bind"])
        .arg(home.join("passwd"))
        .args(["/etc/passwd", "--die-with-parent", "--", "setpriv"])
        .arg(format!("--reuid={id}"))
        .arg(format!("--regid={id}"))
        .args(["--clear-groups", "--inh-caps=+dac_override"])
        .args(["--ambient-caps=+dac_override", "--"])
        .env("PATH", path())
        .env("HOME", home)
        .env("TMPDIR", home.join("tmp"))
        .env("DOCKER_HOST", vm.docker_host())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("OF_THE_MACHINE", "the developer's");
    command
}
